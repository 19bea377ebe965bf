-- The account of each person, and what says so.
CREATE OR REPLACE VIEW v_person_accounts AS
SELECT
    leftPad(lower(hex(entity)), 16, '0') AS person,
    leftPad(lower(hex(account)), 16, '0') AS account,
    ['named by an event', 'associated domain', 'associated company', 'primary company'][grade + 1] AS basis,
    since
FROM r_person_accounts
WHERE entity NOT IN (SELECT from_node FROM associations WHERE from_scheme = 'hubspot_deal')
