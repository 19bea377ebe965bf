-- Every counted conversion once.
CREATE OR REPLACE VIEW v_conversions AS
SELECT
    name,
    if(m.meaning = '', 'other', m.meaning) AS meaning,
    event_id,
    at AS occurred_at,
    time_basis,
    counted_by,
    slot,
    object_type,
    object_id,
    if(person = 0, '', leftPad(lower(hex(person)), 16, '0')) AS person,
    if(account = 0, '', leftPad(lower(hex(account)), 16, '0')) AS account,
    reports,
    amount_micros,
    mrr_micros,
    arr_micros,
    acv_micros,
    tcv_micros,
    revenue_micros,
    revenue_basis,
    currency,
    billing_period,
    source,
    way
FROM r_conversions AS c
LEFT JOIN r_meanings AS m ON m.word = c.name
SETTINGS join_use_nulls = 0
