-- What was said last of each field of an account, by any of its companies and domains; at one time the greater value.
CREATE OR REPLACE VIEW r_account_fields AS
SELECT
    if(a.account = 0, f.node, a.account) AS account,
    argMaxIf(f.value, (f.at, f.value), f.field = 'name') AS name,
    argMaxIf(f.value, (f.at, f.value), f.field = 'domain') AS domain,
    argMaxIf(f.value, (f.at, f.value), f.field = 'owner') AS owner,
    argMaxIf(f.value, (f.at, f.value), f.field = 'tier') AS tier,
    argMaxIf(f.value, (f.at, f.value), f.field = 'target') AS target,
    argMaxIf(f.value, (f.at, f.value), f.field = 'parent') AS parent
FROM account_fields AS f
LEFT JOIN r_accounts AS a ON a.alias = f.node
GROUP BY account
SETTINGS join_use_nulls = 0
