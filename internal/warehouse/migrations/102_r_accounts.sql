-- Account nodes that are not their own account.
CREATE OR REPLACE VIEW r_accounts AS
SELECT o.node AS alias, argMax(o.root, o.version) AS account
FROM identity_overrides AS o
WHERE o.account
GROUP BY o.node
HAVING account != alias
