-- The person of each deal: that of the contact that counts.
CREATE OR REPLACE VIEW r_deal_persons AS
SELECT deal, argMin(c.person, c.place) AS person
FROM r_deal_contacts AS c
GROUP BY deal
