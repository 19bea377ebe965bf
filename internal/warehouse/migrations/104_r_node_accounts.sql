-- Every account that is tied to a person or deal, with how firmly (3 primary association, 2 associated company,
-- 1 associated domain, 0 named by an event) and since when.
CREATE OR REPLACE VIEW r_node_accounts AS
SELECT
    e.node AS node,
    coalesce(nullIf(p.person, 0), e.node) AS entity,
    coalesce(nullIf(a.account, 0), e.account_node) AS account,
    e.grade AS grade,
    e.at AS at,
    e.fact_offset AS fact_offset
FROM (
    SELECT
        from_node AS node,
        to_node AS account_node,
        multiIf(is_primary, 3, to_scheme = 'domain', 1, 2) AS grade,
        since.1 AS at,
        since.2 AS fact_offset
    FROM r_associations
    WHERE to_scheme IN ('hubspot_company', 'domain')
    UNION ALL
    SELECT node, account_node, 0 AS grade, max(last_at) AS at, toInt64(-1) AS fact_offset
    FROM node_accounts
    GROUP BY node, account_node
) AS e
LEFT JOIN r_persons AS p ON p.alias = e.node
LEFT JOIN r_accounts AS a ON a.alias = e.account_node
SETTINGS join_use_nulls = 0
