-- One row per account with what identifies it and how many persons it has.
CREATE OR REPLACE VIEW v_accounts AS
SELECT
    n.root AS account,
    arraySort(groupUniqArrayIf(n.value, n.scheme = 'domain')) AS domains,
    arraySort(groupUniqArrayIf(n.value, n.scheme = 'hubspot_company')) AS hubspot_companies,
    any(p.persons) AS persons,
    min(n.first_seen) AS first_seen
FROM v_nodes AS n
LEFT JOIN (SELECT account, count() AS persons FROM v_person_accounts GROUP BY account) AS p ON p.account = n.root
WHERE n.belongs_to = 'account'
GROUP BY n.root
SETTINGS join_use_nulls = 0
