-- The persons of each deal, and the order in which they count: contacts of the CRM that stand before those merged away
-- or deleted and before all others; the primary one; the earliest associated; the one with the lowest record id. A merged
-- contact goes on as its survivor, and several contacts of one person are one.
CREATE OR REPLACE VIEW r_deal_contacts AS
SELECT
    deal,
    person,
    min((d.standing, NOT d.is_primary, d.began, NOT d.numbered, if(d.numbered, length(d.record), 0), d.record, d.contact)) AS place,
    toBool(NOT place.2) AS is_primary,
    place.3 AS began,
    place.6 AS record,
    arraySort(groupUniqArrayArray(d.roles)) AS roles
FROM (
    SELECT
        s.deal AS deal,
        s.person AS person,
        s.is_primary AS is_primary,
        s.began AS began,
        s.roles AS roles,
        s.contact AS contact,
        multiIf(NOT s.known, 2, s.fallen, 1, 0) AS standing,
        extract(n.value, '[^:]*$') AS record,
        match(record, '^[0-9]+$') AS numbered
    FROM (
        SELECT
            a.from_node AS deal,
            a.to_scheme = 'hubspot_contact' AS known,
            if(p.person = 0, a.to_node, p.person) AS person,
            a.is_primary AS is_primary,
            a.began AS began,
            a.roles AS roles,
            if(own.merged AND NOT root.merged, person, a.to_node) AS contact,
            if(contact = person, root.merged OR root.deleted, own.merged OR own.deleted) AS fallen
        FROM (SELECT * FROM r_associations WHERE from_scheme = 'hubspot_deal' AND to_scheme NOT IN ('hubspot_company', 'domain')) AS a
        LEFT JOIN r_persons AS p ON p.alias = a.to_node
        LEFT JOIN r_fallen AS own ON own.node = a.to_node
        LEFT JOIN r_fallen AS root ON root.node = if(p.person = 0, a.to_node, p.person)
    ) AS s
    LEFT JOIN (SELECT node, value FROM identity_nodes WHERE scheme = 'hubspot_contact') AS n ON n.node = s.contact
) AS d
GROUP BY deal, person
SETTINGS join_use_nulls = 0
