-- One row per account with what identifies it, how many persons it has and what was last said of it.
CREATE OR REPLACE VIEW v_accounts AS
SELECT
    n.root AS account,
    arraySort(groupUniqArrayIf(n.value, n.scheme = 'domain')) AS domains,
    arraySort(groupUniqArrayIf(n.value, n.scheme = 'hubspot_company')) AS hubspot_companies,
    any(p.persons) AS persons,
    min(n.first_seen) AS first_seen,
    any(f.name) AS name,
    any(f.domain) AS domain,
    any(f.owner) AS owner,
    any(f.tier) AS tier,
    any(f.target) AS target,
    any(f.parent) AS parent
FROM v_nodes AS n
LEFT JOIN (SELECT account, count() AS persons FROM v_person_accounts GROUP BY account) AS p ON p.account = n.root
LEFT JOIN (SELECT * EXCEPT account, leftPad(lower(hex(account)), 16, '0') AS account FROM r_account_fields) AS f ON f.account = n.root
WHERE n.belongs_to = 'account'
GROUP BY n.root
SETTINGS join_use_nulls = 0
