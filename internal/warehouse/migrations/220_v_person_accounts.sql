-- The account of each person, what says so, and the labels of the person there.
CREATE OR REPLACE VIEW v_person_accounts AS
SELECT
    leftPad(lower(hex(pa.entity)), 16, '0') AS person,
    leftPad(lower(hex(pa.account)), 16, '0') AS account,
    ['named by an event', 'associated domain', 'primary domain', 'associated company', 'primary company'][pa.grade + 1] AS basis,
    pa.since AS since,
    r.roles AS roles
FROM r_person_accounts AS pa
LEFT JOIN (
    SELECT entity, account, arraySort(groupUniqArrayArray(n.roles)) AS roles
    FROM r_node_accounts AS n
    WHERE notEmpty(n.roles)
    GROUP BY entity, account
) AS r ON r.entity = pa.entity AND r.account = pa.account
WHERE pa.entity NOT IN (SELECT from_node FROM associations WHERE from_scheme = 'hubspot_deal')
SETTINGS join_use_nulls = 0
