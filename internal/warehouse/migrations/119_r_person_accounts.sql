-- The one account of each person (and of each deal): the firmest tie, then the latest, then the smaller node.
CREATE OR REPLACE VIEW r_person_accounts AS
SELECT
    entity,
    argMax(n.account, (n.grade, n.at, bitNot(n.account_node))) AS account,
    max((n.grade, n.at, bitNot(n.account_node))) AS top,
    top.1 AS grade,
    top.2 AS since
FROM r_node_accounts AS n
GROUP BY entity
