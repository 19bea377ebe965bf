-- Conversions and their worth by the campaign that gets the credit.
CREATE OR REPLACE VIEW v_revenue_by_campaign AS
SELECT
    scope,
    model,
    name,
    meaning,
    campaign,
    platform,
    currency,
    count() AS conversions,
    toDecimal128(sum(revenue_micros), 6) / 1000000 AS revenue,
    sum(coalesce(amount_micros, 0)) AS amount_micros,
    sum(coalesce(mrr_micros, 0)) AS mrr_micros,
    sum(coalesce(arr_micros, 0)) AS arr_micros,
    sum(coalesce(acv_micros, 0)) AS acv_micros,
    sum(coalesce(tcv_micros, 0)) AS tcv_micros
FROM (
    SELECT
        scope, model, name, meaning, campaign, platform, currency, revenue_micros,
        c.amount_micros AS amount_micros, c.mrr_micros AS mrr_micros, c.arr_micros AS arr_micros, c.acv_micros AS acv_micros, c.tcv_micros AS tcv_micros
    FROM v_credit AS c
)
GROUP BY scope, model, name, meaning, campaign, platform, currency
