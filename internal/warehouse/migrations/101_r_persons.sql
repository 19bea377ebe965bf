-- Nodes that are not their own person. Everything else is.
CREATE OR REPLACE VIEW r_persons AS
SELECT o.node AS alias, argMax(o.root, o.version) AS person
FROM identity_overrides AS o
WHERE NOT o.account
GROUP BY o.node
HAVING person != alias
