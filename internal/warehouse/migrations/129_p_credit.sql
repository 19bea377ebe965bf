-- First-touch and last-touch credit with windows of one's own: p_credit(lead_days = 90, deal_days = 365).
CREATE OR REPLACE VIEW p_credit AS
SELECT
    c.scope AS scope,
    c.model AS model,
    c.name AS name,
    if(m.meaning = '', 'other', m.meaning) AS meaning,
    c.conversion.5 AS event_id,
    c.conversion.6 AS converted_at,
    c.conversion.7 AS counted_by,
    c.slot AS slot,
    if(c.conversion.8 = 0, '', leftPad(lower(hex(c.conversion.8)), 16, '0')) AS person,
    if(c.conversion.9 = 0, '', leftPad(lower(hex(c.conversion.9)), 16, '0')) AS account,
    c.touches AS touches,
    if(c.pick = 0, '(unattributed)', t.campaign) AS campaign,
    if(c.pick = 0, '', t.platform) AS platform,
    if(c.pick = 0, NULL, t.touch_at) AS touch_at,
    if(c.pick = 0, '', t.event_id) AS touch_event_id,
    if(c.pick = 0, '', t.kind) AS touch_kind,
    c.conversion.10 AS amount_micros,
    c.conversion.11 AS mrr_micros,
    c.conversion.12 AS arr_micros,
    c.conversion.13 AS acv_micros,
    c.conversion.14 AS tcv_micros,
    c.conversion.15 AS revenue_micros,
    c.conversion.16 AS revenue_basis,
    c.conversion.17 AS currency
FROM (
    SELECT
        sipHash64(u.event_id, toString(u.name)) AS touch_key,
        u.touch_at AS touch_at,
        u.event_id AS event_id,
        toString(u.kind) AS kind,
        multiIf(
            u.utm_campaign != '', toString(u.utm_campaign),
            u.campaign_id != '', toString(u.campaign_id),
            empty(u.click_ids) AND u.utm_source = '' AND u.utm_medium = '', '(direct)',
            '(no campaign)'
        ) AS campaign,
        if(u.platform != '', toString(u.platform), toString(u.utm_source)) AS platform
    FROM touches AS u FINAL
) AS t
RIGHT JOIN p_picks(lead_days = {lead_days:UInt32}, deal_days = {deal_days:UInt32}) AS c ON c.pick = t.touch_key
LEFT JOIN r_meanings AS m ON m.word = c.name
SETTINGS join_use_nulls = 0
