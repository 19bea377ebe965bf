-- Events of which the sender said another canonical name than the mapping gave.
CREATE OR REPLACE VIEW v_claims AS
SELECT
    source,
    claimed,
    name,
    event_id,
    occurred_at,
    received_at,
    object_type,
    object_id,
    pipeline,
    raw_stage,
    rule,
    mapping_version,
    receipt_id
FROM (SELECT * EXCEPT sealed FROM events FINAL)
WHERE claimed != ''
