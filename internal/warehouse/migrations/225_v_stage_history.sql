-- What every stage report meant: one row per report, by business time on its deal, company or person.
CREATE OR REPLACE VIEW v_stage_history AS
SELECT
    track,
    track_id,
    if(person = 0, '', leftPad(lower(hex(person)), 16, '0')) AS person,
    if(own_account = 0, '', leftPad(lower(hex(own_account)), 16, '0')) AS account,
    object_type,
    object_id,
    pipeline,
    name,
    if(m.meaning = '', 'other', m.meaning) AS meaning,
    raw_stage,
    rank,
    kind,
    multiIf(kind IN ('first', 'repeat'), toString(name), kind = 'recycled', 'lead_recycled', '') AS counts_as,
    nth,
    at,
    occurred_at,
    time_basis,
    came_from,
    covered_by,
    source,
    way,
    event_id
FROM r_history AS h
LEFT JOIN r_meanings AS m ON m.word = h.name
SETTINGS join_use_nulls = 0
