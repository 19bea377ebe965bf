-- Which touch gets the credit: for every conversion, scope and model the key of one touch, 0 for none, in windows of
-- one's own. Conversions are laid among the touches of their person or account in order of time, once forwards (the
-- last touch is the one just passed) and once backwards from the start of the window (the first). One sort, no pairs.
-- The deals' window holds for whatever a deal counts or reports.
CREATE OR REPLACE VIEW p_picks AS
SELECT
    scope,
    if(sign = 1, 'last_touch', 'first_touch') AS model,
    goal[1] AS conversion,
    goal[1].1 AS slot,
    goal[1].2 AS name,
    goal[1].3 AS since,
    goal[1].4 AS until,
    other != 0 AND other_at BETWEEN since AND until AS by_other,
    direct != 0 AND direct_at BETWEEN since AND until AS by_direct,
    multiIf(by_other, other, by_direct, direct, 0) AS pick,
    if(pick = 0, 0, toInt64(sum(passed) OVER (PARTITION BY scope, slot, name)) - toInt64(in_all)) AS touches
FROM (
    SELECT
        *,
        anyLastIf(touch_key, touch_key != 0 AND NOT is_direct) OVER w AS other,
        anyLastIf(sign * x, touch_key != 0 AND NOT is_direct) OVER w AS other_at,
        anyLastIf(touch_key, touch_key != 0 AND is_direct) OVER w AS direct,
        anyLastIf(sign * x, touch_key != 0 AND is_direct) OVER w AS direct_at,
        countIf(touch_key != 0) OVER w AS passed,
        countIf(touch_key != 0) OVER (PARTITION BY scope, entity, sign) AS in_all
    FROM (
        SELECT
            lens.1 AS scope,
            lens.2 AS sign,
            if(scope = 'account' AND account != 0, account, person) AS entity,
            sign * toUnixTimestamp64Milli(touch_at) AS x,
            sipHash64(event_id, toString(name)) AS touch_key,
            sign * toInt64(bitShiftRight(touch_key, 1)) AS tie,
            is_direct,
            [] AS goal
        FROM r_touches
        ARRAY JOIN [('person', toInt8(1)), ('person', toInt8(-1)), ('account', toInt8(1)), ('account', toInt8(-1))] AS lens
        WHERE kind != 'email_open' AND entity != 0
        UNION ALL
        SELECT
            lens.1 AS scope,
            lens.2 AS sign,
            if(scope = 'account' AND account != 0, account, person) AS entity,
            sign * if(sign = 1, until, since) AS x,
            toUInt64(0) AS touch_key,
            toInt64(0) AS tie,
            toUInt8(0) AS is_direct,
            [(
                slot, toString(name), since, until, event_id, at, counted_by, person, account,
                amount_micros, mrr_micros, arr_micros, acv_micros, tcv_micros, revenue_micros, revenue_basis, currency
            )] AS goal
        FROM (
            SELECT
                *,
                toUnixTimestamp64Milli(at) AS until,
                until - 86400000 * toInt64(if(counted_by = 'deal' OR object_type = 'deal', {deal_days:UInt32}, {lead_days:UInt32})) AS since
            FROM r_conversions
        )
        ARRAY JOIN [('person', toInt8(1)), ('person', toInt8(-1)), ('account', toInt8(1)), ('account', toInt8(-1))] AS lens
    )
    WINDOW w AS (
        PARTITION BY scope, entity, sign ORDER BY x, touch_key = 0, tie
        ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
    )
)
WHERE notEmpty(goal)
