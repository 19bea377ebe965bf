-- Whom every identifier stood for as it was known at a time: p_nodes_at(at = '2026-03-01 00:00:00').
CREATE OR REPLACE VIEW p_nodes_at AS
SELECT
    leftPad(lower(hex(n.node)), 16, '0') AS node,
    n.scheme AS scheme,
    n.value AS value,
    multiIf(n.scheme IN ('hubspot_company', 'domain'), 'account', n.scheme = 'hubspot_deal', 'deal', 'person') AS belongs_to,
    leftPad(lower(hex(if(l.root = 0, n.node, l.root))), 16, '0') AS root
FROM (SELECT DISTINCT node, scheme, value FROM identity_nodes) AS n
LEFT JOIN (
    SELECT account, node, argMax(x.root, x.fact_offset) AS root
    FROM identity_log AS x
    WHERE x.stated_at <= {at:DateTime64(3, 'UTC')}
    GROUP BY account, node
) AS l ON l.node = n.node AND l.account = (belongs_to = 'account')
SETTINGS join_use_nulls = 0
