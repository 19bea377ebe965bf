-- The person of each deal: that of the contact that counts, which is the primary one before others, then the earliest
-- associated, then the one with the lowest record id; a merged contact stands for its survivor.
CREATE OR REPLACE VIEW r_deal_persons AS
SELECT
    deal,
    argMin(d.person, (d.record = '', NOT d.is_primary, d.began, NOT match(d.record, '^[0-9]+$'), length(d.record), d.record, d.person)) AS person
FROM (
    SELECT
        s.deal AS deal,
        s.person AS person,
        s.is_primary AS is_primary,
        s.began AS began,
        extract(n.value, '[^:]*$') AS record
    FROM (
        SELECT
            a.from_node AS deal,
            coalesce(nullIf(p.person, 0), a.to_node) AS person,
            a.is_primary AS is_primary,
            b.began AS began
        FROM r_associations AS a
        INNER JOIN (
            SELECT x.from_node AS from_node, x.to_node AS to_node, min(x.at) AS began
            FROM associations AS x
            INNER JOIN r_associations AS y ON y.from_node = x.from_node AND y.to_node = x.to_node
            WHERE NOT x.removed AND x.at >= y.gone.1 AND x.from_scheme = 'hubspot_deal'
            GROUP BY from_node, to_node
        ) AS b ON b.from_node = a.from_node AND b.to_node = a.to_node
        LEFT JOIN r_persons AS p ON p.alias = a.to_node
        WHERE a.from_scheme = 'hubspot_deal' AND a.to_scheme NOT IN ('hubspot_company', 'domain')
    ) AS s
    LEFT JOIN (SELECT node, value FROM identity_nodes WHERE scheme = 'hubspot_contact') AS n ON n.node = s.person
) AS d
GROUP BY deal
SETTINGS join_use_nulls = 0
