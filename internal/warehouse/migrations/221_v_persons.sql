-- One row per person with what identifies them and what they last said of advertising.
CREATE OR REPLACE VIEW v_persons AS
SELECT
    n.root AS person,
    any(pa.account) AS account,
    arraySort(groupUniqArrayIf(n.value, n.scheme = 'hubspot_contact')) AS hubspot_contacts,
    arraySort(groupUniqArrayIf(n.value, n.scheme = 'email')) AS email_sha256,
    uniqExact(n.node) AS identifiers,
    min(n.first_seen) AS first_seen,
    any(c.consent) AS consent
FROM v_nodes AS n
LEFT JOIN v_person_accounts AS pa ON pa.person = n.root
LEFT JOIN (
    SELECT leftPad(lower(hex(if(p.person = 0, s.node, p.person))), 16, '0') AS person, toString(argMax(s.consent, (s.at, s.consent = 'denied'))) AS consent
    FROM consents AS s
    LEFT JOIN r_persons AS p ON p.alias = s.node
    GROUP BY person
) AS c ON c.person = n.root
WHERE n.belongs_to = 'person'
GROUP BY n.root
SETTINGS join_use_nulls = 0
