-- Every identifier with the person, account or other object it stands for now.
CREATE OR REPLACE VIEW v_nodes AS
SELECT
    leftPad(lower(hex(n.node)), 16, '0') AS node,
    n.scheme AS scheme,
    n.value AS value,
    multiIf(n.scheme IN ('hubspot_company', 'domain'), 'account', n.scheme = 'hubspot_deal', 'deal', 'person') AS belongs_to,
    leftPad(lower(hex(if(belongs_to = 'account', coalesce(nullIf(a.account, 0), n.node), coalesce(nullIf(p.person, 0), n.node)))), 16, '0') AS root,
    toDateTime64(min(n.first_seen), 3, 'UTC') AS first_seen
FROM identity_nodes AS n
LEFT JOIN r_persons AS p ON p.alias = n.node
LEFT JOIN r_accounts AS a ON a.alias = n.node
GROUP BY n.node, n.scheme, n.value, p.person, a.account
SETTINGS join_use_nulls = 0
