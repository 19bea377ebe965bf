-- What is associated now: pairs stated again after they were last removed, primary if that was stated since.
CREATE OR REPLACE VIEW r_associations AS
SELECT
    from_node,
    to_node,
    any(s.from_scheme) AS from_scheme,
    any(s.to_scheme) AS to_scheme,
    maxIf((s.at, s.fact_offset), s.removed) AS gone,
    maxIf((s.at, s.fact_offset), NOT s.removed) AS stated,
    maxIf((s.at, s.fact_offset), s.is_primary AND NOT s.removed) AS stated_primary,
    stated_primary > gone AS is_primary,
    if(is_primary, stated_primary, stated) AS since
FROM associations AS s
GROUP BY from_node, to_node
HAVING stated > gone
