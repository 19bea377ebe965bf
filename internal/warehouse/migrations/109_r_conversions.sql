-- One row per counted conversion: the first reach of a stage, once per deal where a deal counts it, else once per person.
CREATE OR REPLACE VIEW r_conversions AS
SELECT
    c.*,
    coalesce(nullIf(c.own_account, 0), nullIf(da.account, 0), nullIf(pa.account, 0), 0) AS account,
    multiIf(amount_micros IS NOT NULL, 'amount', tcv_micros IS NOT NULL, 'tcv', acv_micros IS NOT NULL, 'acv',
            arr_micros IS NOT NULL, 'arr', mrr_micros IS NOT NULL, 'mrr', '') AS revenue_basis,
    coalesce(amount_micros, tcv_micros, acv_micros, arr_micros, mrr_micros, 0) AS revenue_micros
FROM (
    SELECT
        h.name AS name,
        argMax(h.event_id, h.kind = 'first') AS event_id,
        any(h.at) AS at,
        argMax(h.time_basis, h.kind = 'first') AS time_basis,
        argMax(h.source, h.kind = 'first') AS source,
        argMax(h.way, h.kind = 'first') AS way,
        argMax(h.object_type, h.kind = 'first') AS object_type,
        argMax(h.object_id, h.kind = 'first') AS object_id,
        argMax(h.object_node, h.kind = 'first') AS object_node,
        argMax(h.person, h.kind = 'first') AS person,
        argMax(h.own_account, h.kind = 'first') AS own_account,
        if(argMax(h.counted_by, h.kind = 'first') = 'deal' AND h.track = 'deal', 'deal', 'person') AS counted_by,
        if(counted_by = 'deal' OR person = 0, concat(h.track, '/', h.track_id), leftPad(lower(hex(person)), 16, '0')) AS slot,
        count() AS reports,
        argMinIf((c.amount_micros, c.mrr_micros, c.arr_micros, c.acv_micros, c.tcv_micros, c.currency, c.billing_period), (h.moved_at, h.event_id),
            coalesce(c.amount_micros, c.mrr_micros, c.arr_micros, c.acv_micros, c.tcv_micros) IS NOT NULL) AS worth,
        worth.1 AS amount_micros,
        worth.2 AS mrr_micros,
        worth.3 AS arr_micros,
        worth.4 AS acv_micros,
        worth.5 AS tcv_micros,
        worth.6 AS currency,
        worth.7 AS billing_period
    FROM r_history AS h
    INNER JOIN (SELECT * FROM conversions FINAL) AS c ON c.event_id = h.event_id AND c.name = h.name
    WHERE h.covered_by = '' AND NOT h.stands_aside
    GROUP BY h.track, h.track_id, h.run, h.name
    HAVING countIf(h.kind = 'first') > 0
    ORDER BY at, event_id
    LIMIT 1 BY slot, name
) AS c
LEFT JOIN r_person_accounts AS da ON da.entity = c.object_node
LEFT JOIN r_person_accounts AS pa ON pa.entity = c.person
SETTINGS join_use_nulls = 0
