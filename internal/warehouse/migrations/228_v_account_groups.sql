-- The account at the top of each account's parent companies: groups, for who wants subsidiaries counted together.
CREATE OR REPLACE VIEW v_account_groups AS
WITH RECURSIVE
    named AS (
        SELECT a.account AS account, any(n.root) AS parent
        FROM v_accounts AS a
        INNER JOIN (SELECT value, root FROM v_nodes WHERE scheme = 'hubspot_company') AS n ON n.value = a.parent
        WHERE a.parent != '' AND n.root != a.account
        GROUP BY account
    ),
    above AS (
        SELECT account, parent, 1 AS steps FROM named
        UNION ALL
        SELECT u.account AS account, n.parent AS parent, u.steps + 1 AS steps
        FROM above AS u
        INNER JOIN named AS n ON n.account = u.parent
        WHERE u.steps < 16
    )
SELECT
    a.account AS account,
    multiIf(u.account = '', a.account, u.tops != '', u.tops, u.least) AS top
FROM v_accounts AS a
LEFT JOIN (
    SELECT x.account AS account, maxIf(x.parent, t.account = '') AS tops, min(x.parent) AS least
    FROM above AS x
    LEFT JOIN named AS t ON t.account = x.parent
    GROUP BY account
) AS u ON u.account = a.account
SETTINGS join_use_nulls = 0
