-- The persons of each deal with their labels there, the one that counts first.
CREATE OR REPLACE VIEW v_deal_contacts AS
SELECT
    n.value AS deal,
    row_number() OVER (PARTITION BY c.deal ORDER BY c.place) AS place,
    leftPad(lower(hex(c.person)), 16, '0') AS person,
    c.record AS contact,
    c.is_primary AS is_primary,
    c.began AS since,
    c.roles AS roles,
    if(a.account = 0, '', leftPad(lower(hex(a.account)), 16, '0')) AS account
FROM r_deal_contacts AS c
LEFT JOIN (SELECT DISTINCT node, value FROM identity_nodes WHERE scheme = 'hubspot_deal') AS n ON n.node = c.deal
LEFT JOIN r_person_accounts AS a ON a.entity = c.deal
SETTINGS join_use_nulls = 0
