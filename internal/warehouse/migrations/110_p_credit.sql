-- First-touch and last-touch credit with windows of one's own: p_credit(lead_days = 90, deal_days = 365).
-- Touches stream past the conversions, which are held in memory; both are read once.
CREATE OR REPLACE VIEW p_credit AS
SELECT
    scope,
    credit.1 AS model,
    name,
    event_id,
    at AS converted_at,
    counted_by,
    slot,
    if(person = 0, '', leftPad(lower(hex(person)), 16, '0')) AS person,
    if(account = 0, '', leftPad(lower(hex(account)), 16, '0')) AS account,
    touches,
    if(touches = 0, '(unattributed)', credit.2.1) AS campaign,
    credit.2.2 AS platform,
    if(touches = 0, NULL, credit.2.3) AS touch_at,
    credit.2.4 AS touch_event_id,
    credit.2.5 AS touch_kind,
    worth.1 AS amount_micros,
    worth.2 AS mrr_micros,
    worth.3 AS arr_micros,
    worth.4 AS acv_micros,
    worth.5 AS tcv_micros,
    worth.6 AS revenue_micros,
    worth.7 AS revenue_basis,
    worth.8 AS currency
FROM (
    WITH t.entity != 0 AND t.touch_at <= g.at
        AND t.touch_at >= g.at - toIntervalDay(if(g.counted_by = 'deal', {deal_days:UInt32}, {lead_days:UInt32})) AS eligible
    SELECT
        g.scope AS scope,
        g.slot AS slot,
        g.name AS name,
        any(g.event_id) AS event_id,
        any(g.at) AS at,
        any(g.counted_by) AS counted_by,
        any(g.person) AS person,
        any(g.account) AS account,
        any((g.amount_micros, g.mrr_micros, g.arr_micros, g.acv_micros, g.tcv_micros, g.revenue_micros, g.revenue_basis, g.currency)) AS worth,
        countIf(eligible) AS touches,
        countIf(eligible AND NOT t.is_direct) AS others,
        if(others > 0, argMinIf(t.seen, t.place, eligible AND NOT t.is_direct), argMinIf(t.seen, t.place, eligible)) AS first_touch,
        if(others > 0, argMaxIf(t.seen, t.place, eligible AND NOT t.is_direct), argMaxIf(t.seen, t.place, eligible)) AS last_touch
    FROM (
        SELECT
            scope,
            if(scope = 'account' AND account != 0, account, person) AS entity,
            touch_at,
            is_direct,
            (touch_at, event_id, toString(name)) AS place,
            (
                multiIf(utm_campaign != '', toString(utm_campaign), campaign_id != '', toString(campaign_id), is_direct, '(direct)', '(no campaign)'),
                if(platform != '', toString(platform), toString(utm_source)),
                touch_at, event_id, toString(kind)
            ) AS seen
        FROM r_touches
        ARRAY JOIN ['person', 'account'] AS scope
        WHERE kind != 'email_open' AND entity != 0
    ) AS t
    RIGHT JOIN (
        SELECT scope, if(scope = 'account' AND account != 0, account, person) AS entity, *
        FROM r_conversions
        ARRAY JOIN ['person', 'account'] AS scope
    ) AS g ON t.scope = g.scope AND t.entity = g.entity
    GROUP BY g.scope, g.slot, g.name
)
ARRAY JOIN [('first_touch', first_touch), ('last_touch', last_touch)] AS credit
SETTINGS join_use_nulls = 0
