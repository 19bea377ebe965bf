-- Every touch that may be credited, with person and account as they are known now.
CREATE OR REPLACE VIEW v_touches AS
SELECT
    event_id,
    name,
    touch_at,
    if(person = 0, '', leftPad(lower(hex(person)), 16, '0')) AS person,
    if(account = 0, '', leftPad(lower(hex(account)), 16, '0')) AS account,
    kind,
    is_direct,
    platform,
    utm_source,
    utm_medium,
    utm_campaign,
    utm_term,
    utm_content,
    campaign_id,
    ad_set,
    ad,
    page,
    referrer,
    form,
    click_types,
    source
FROM r_touches
