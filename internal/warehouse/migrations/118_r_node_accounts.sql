-- Every account that is tied to a person or deal, with how firmly (4 primary company, 3 associated company, 2 primary
-- domain, 1 associated domain, 0 named by an event), since when, and by which labels.
CREATE OR REPLACE VIEW r_node_accounts AS
SELECT
    e.entity AS entity,
    e.account_node AS account_node,
    coalesce(nullIf(a.account, 0), e.account_node) AS account,
    e.grade AS grade,
    e.at AS at,
    e.roles AS roles
FROM (
    SELECT
        from_node AS entity,
        to_node AS account_node,
        if(to_scheme = 'domain', 1, 3) + is_primary AS grade,
        since AS at,
        roles
    FROM r_associations
    WHERE to_scheme IN ('hubspot_company', 'domain')
    UNION ALL
    SELECT if(p.person = 0, n.node, p.person) AS entity, n.account_node AS account_node, 0 AS grade, max(n.last_at) AS at, [] AS roles
    FROM node_accounts AS n
    LEFT JOIN r_persons AS p ON p.alias = n.node
    GROUP BY entity, account_node
) AS e
LEFT JOIN r_accounts AS a ON a.alias = e.account_node
SETTINGS join_use_nulls = 0
