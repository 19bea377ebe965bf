-- What is associated now: pairs that were said to be there no earlier than they were last said to be gone, what any node
-- of a person said taken together. A label that is gone ends itself and not the pair.
CREATE OR REPLACE VIEW r_associations AS
SELECT
    if(s.from_scheme = 'hubspot_deal' OR p.person = 0, s.from_node, p.person) AS from_node,
    s.to_node AS to_node,
    any(s.from_scheme) AS from_scheme,
    any(s.to_scheme) AS to_scheme,
    maxIf(s.at, s.removed AND s.role = '') AS gone,
    maxIf(s.at, NOT s.removed) AS since,
    countIf(NOT s.removed AND s.is_primary) > 0 AND maxIf(s.at, NOT s.removed AND s.is_primary) >= gone AS is_primary,
    arrayMin(arrayFilter(x -> x >= gone, groupArrayIf(s.at, NOT s.removed))) AS began,
    arraySort(arrayFilter(r -> r != '', mapKeys(mapFilter(
        (r, said) -> said >= gone AND said >= ended[r],
        maxMapIf(map(toString(s.role), s.at), NOT s.removed) AS labelled
    )))) AS roles,
    maxMapIf(map(toString(s.role), s.at), s.removed) AS ended
FROM associations AS s
LEFT JOIN r_persons AS p ON p.alias = s.from_node
GROUP BY from_node, to_node
HAVING countIf(NOT s.removed) > 0 AND since >= gone
SETTINGS join_use_nulls = 0
