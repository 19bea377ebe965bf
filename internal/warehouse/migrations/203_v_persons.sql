-- One row per person with what identifies them.
CREATE OR REPLACE VIEW v_persons AS
SELECT
    n.root AS person,
    any(pa.account) AS account,
    arraySort(groupUniqArrayIf(n.value, n.scheme = 'hubspot_contact')) AS hubspot_contacts,
    arraySort(groupUniqArrayIf(n.value, n.scheme = 'email')) AS email_sha256,
    uniqExact(n.node) AS identifiers,
    min(n.first_seen) AS first_seen
FROM v_nodes AS n
LEFT JOIN v_person_accounts AS pa ON pa.person = n.root
WHERE n.belongs_to = 'person'
GROUP BY n.root
SETTINGS join_use_nulls = 0
