-- CRM records that were merged away or deleted, as that stands: a merge that no newer unmerge or block undid, a deletion
-- that no later restoration did.
CREATE OR REPLACE VIEW r_fallen AS
SELECT node, max(m.merged) AS merged, max(m.deleted) AS deleted
FROM (
    SELECT arrayJoin(arrayConcat(if(into_high > undone, [low], []), if(into_low > undone, [high], []))) AS node, true AS merged, false AS deleted
    FROM (
        SELECT
            least(f.one, f.other) AS low,
            greatest(f.one, f.other) AS high,
            maxIf(f.at, f.kind = 'merge' AND f.one > f.other) AS into_high,
            maxIf(f.at, f.kind = 'merge' AND f.one < f.other) AS into_low,
            maxIf(f.at, f.kind = 'unmerge') AS undone,
            maxIf(f.at, f.kind = 'block') AS blocked,
            maxIf(f.at, f.kind = 'allow') AS allowed
        FROM (
            SELECT toString(kind) AS kind, at, nodes[1] AS one, arrayJoin(arraySlice(nodes, 2)) AS other
            FROM identity_facts
            WHERE kind IN ('merge', 'unmerge', 'block', 'allow')
        ) AS f
        GROUP BY low, high
    )
    WHERE blocked = toDateTime64(0, 3, 'UTC') OR allowed > blocked
    UNION ALL
    SELECT nodes[1] AS node, false AS merged, true AS deleted
    FROM identity_facts
    WHERE kind = 'deletion'
    GROUP BY node
    HAVING countIf(NOT removed) > 0 AND maxIf(at, NOT removed) >= maxIf(at, removed)
) AS m
GROUP BY node
