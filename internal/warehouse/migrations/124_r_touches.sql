-- Touches with person and account as they are known now; one on a shared device is of whoever had it in hands then.
CREATE OR REPLACE VIEW r_touches AS
SELECT
    t.* EXCEPT (own_node, node, account_node, ignored, version, is_deleted, hands),
    coalesce(nullIf(p.person, 0), t.node) AS person,
    coalesce(nullIf(a.account, 0), nullIf(t.account_node, 0), pa.account, 0) AS account,
    t.utm_campaign = '' AND t.campaign_id = '' AND empty(t.click_ids) AND t.utm_source = '' AND t.utm_medium = '' AS is_direct
FROM (
    SELECT
        u.*,
        h.hands AS hands,
        if(empty(hands), u.own_node, hands[greatest(1, arrayCount(x -> x.1 < 1000000 * (toUnixTimestamp64Milli(u.touch_at) + 1), hands))].2) AS node
    FROM (SELECT * EXCEPT node, node AS own_node FROM touches FINAL WHERE ignored = '') AS u
    LEFT JOIN r_hands AS h ON h.device = u.own_node
) AS t
LEFT JOIN r_persons AS p ON p.alias = t.node
LEFT JOIN r_accounts AS a ON a.alias = t.account_node
LEFT JOIN r_person_accounts AS pa ON pa.entity = coalesce(nullIf(p.person, 0), t.node)
SETTINGS join_use_nulls = 0
