-- Every stage that the CRM had when it was read, with what it is called.
CREATE OR REPLACE VIEW v_crm_stages AS
SELECT
    s.account AS account, s.object AS object, s.pipeline AS pipeline, s.pipeline_label AS pipeline_label, s.stage AS stage, s.label AS label,
    toUInt64(s.place) AS place,
    multiIf(s.closed = 'true' AND toFloat64OrZero(s.probability) = 1, 'won', s.closed = 'true' AND s.probability != '' AND toFloat64OrZero(s.probability) = 0, 'lost', '') AS outcome,
    s.read_at >= l.last AS is_current, s.read_at AS read_at
FROM crm_stages AS s FINAL
INNER JOIN (SELECT account, object, max(read_at) AS last FROM crm_stages GROUP BY account, object) AS l ON l.account = s.account AND l.object = s.object
