-- The persons of each deal, and the order in which they count: contacts of the CRM that stand before those merged away
-- or deleted and before all others, of which the stronger scheme comes first; the primary one; the earliest associated; the
-- one with the lowest record id. A merged contact goes on as its survivor in the same CRM, and several contacts of one
-- person are one.
CREATE OR REPLACE VIEW r_deal_contacts AS
SELECT
    deal,
    person,
    min((d.standing, NOT d.is_primary, d.began, NOT d.numbered, length(d.digits), d.digits, d.record, d.contact)) AS place,
    toBool(NOT place.2) AS is_primary,
    place.3 AS began,
    if(place.1 < 2, place.7, '') AS record,
    arraySort(groupUniqArrayArray(d.roles)) AS roles
FROM (
    SELECT
        s.deal AS deal,
        s.person AS person,
        s.is_primary AS is_primary,
        s.began AS began,
        s.roles AS roles,
        if(s.goes_on, s.person, s.node) AS contact,
        if(s.goes_on, s.root_fallen, s.own_fallen) AS fallen,
        multiIf(s.scheme != 'hubspot_contact', if(s.strength = 0, 100, s.strength + 1), fallen, 1, 0) AS standing,
        extract(if(s.goes_on, s.root_value, s.own_value), '[^:]*$') AS record,
        match(record, '^[0-9]+$') AS numbered,
        if(numbered, replaceRegexpOne(record, '^0+', ''), '') AS digits
    FROM (
        SELECT
            a.from_node AS deal,
            a.to_node AS node,
            toString(a.to_scheme) AS scheme,
            indexOf(['email', 'user_id', 'lead_id', 'phone', 'hubspotutk', 'anonymous', 'fbp', 'li_fat_id', 'gclid', 'fbclid', 'gbraid', 'wbraid', 'msclkid', 'ttclid'], scheme) AS strength,
            if(p.person = 0, a.to_node, p.person) AS person,
            a.is_primary AS is_primary,
            a.began AS began,
            a.roles AS roles,
            n.value AS own_value,
            r.value AS root_value,
            own.merged OR own.deleted AS own_fallen,
            root.merged OR root.deleted AS root_fallen,
            scheme = 'hubspot_contact' AND own.merged AND r.scheme = 'hubspot_contact' AND NOT root.merged
                AND extract(own_value, '^(.*:)?') = extract(root_value, '^(.*:)?') AS goes_on
        FROM (SELECT * FROM r_associations WHERE from_scheme = 'hubspot_deal' AND to_scheme NOT IN ('hubspot_company', 'domain')) AS a
        LEFT JOIN r_persons AS p ON p.alias = a.to_node
        LEFT JOIN r_fallen AS own ON own.node = a.to_node
        LEFT JOIN r_fallen AS root ON root.node = if(p.person = 0, a.to_node, p.person)
        LEFT JOIN (
            SELECT node, any(value) AS value FROM identity_nodes
            WHERE node IN (SELECT to_node FROM associations WHERE from_scheme = 'hubspot_deal') GROUP BY node
        ) AS n ON n.node = a.to_node
        LEFT JOIN (
            SELECT node, 'hubspot_contact' AS scheme, any(value) AS value FROM identity_nodes WHERE scheme = 'hubspot_contact' GROUP BY node
        ) AS r ON r.node = if(p.person = 0, a.to_node, p.person)
    ) AS s
) AS d
GROUP BY deal, person
SETTINGS join_use_nulls = 0
