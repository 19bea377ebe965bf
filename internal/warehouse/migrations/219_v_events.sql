-- Every event once, with person and account as they are known now; one on a shared device is of whoever had it in hands then.
CREATE OR REPLACE VIEW v_events AS
SELECT
    e.name AS name,
    e.event_id AS event_id,
    e.occurred_at AS occurred_at,
    e.time_basis AS time_basis,
    e.received_at AS received_at,
    e.source AS source,
    e.way AS way,
    e.reported_as AS reported_as,
    e.object_type AS object_type,
    e.object_id AS object_id,
    e.pipeline AS pipeline,
    e.raw_stage AS raw_stage,
    e.stage AS stage,
    e.funnel AS funnel,
    e.counted_by AS counted_by,
    e.covered_by AS covered_by,
    e.ignored AS ignored,
    e.rule AS rule,
    if(e.node = 0, '', leftPad(lower(hex(e.person)), 16, '0')) AS person,
    if(e.account = 0, '', leftPad(lower(hex(e.account)), 16, '0')) AS account,
    e.consent AS consent,
    e.mapping_version AS mapping_version,
    e.receipt_id AS receipt_id
FROM (
    SELECT
        x.*,
        coalesce(nullIf(p.person, 0), x.node) AS person,
        coalesce(nullIf(a.account, 0), nullIf(x.account_node, 0), nullIf(pa.account, 0), 0) AS account
    FROM (
        SELECT
            u.* EXCEPT node,
            h.hands AS hands,
            if(empty(hands), u.node, hands[greatest(1, arrayCount(i -> i.1 < 1000000 * (toUnixTimestamp64Milli(u.occurred_at) + 1), hands))].2) AS node
        FROM (SELECT * EXCEPT sealed FROM events FINAL) AS u
        LEFT JOIN r_hands AS h ON h.device = u.node
    ) AS x
    LEFT JOIN r_persons AS p ON p.alias = x.node
    LEFT JOIN r_accounts AS a ON a.alias = x.account_node
    LEFT JOIN r_person_accounts AS pa ON pa.entity = coalesce(nullIf(p.person, 0), x.node)
) AS e
SETTINGS join_use_nulls = 0
