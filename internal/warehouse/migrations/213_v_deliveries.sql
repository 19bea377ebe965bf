-- Where every part of every event stands at every destination.
CREATE OR REPLACE VIEW v_deliveries AS
SELECT
    p.destination AS destination,
    p.event_name AS name,
    p.event_id AS event_id,
    p.part AS part,
    p.state AS state,
    d.reason AS reason,
    d.detail AS detail,
    d.at AS at,
    d.attempt AS attempt,
    d.due AS due,
    d.ambiguous AS ambiguous,
    d.http_status AS http_status,
    d.latency_ms AS latency_ms,
    d.trace_id AS trace_id,
    d.value_micros AS value_micros,
    d.currency AS currency,
    d.replay_id AS replay_id,
    d.owner AS owner,
    p.records AS records
FROM r_parts AS p
INNER JOIN (SELECT * EXCEPT sealed FROM deliveries FINAL) AS d
    ON d.destination = p.destination AND d.event_id = p.event_id AND d.event_name = p.event_name AND d.part = p.part
    AND d.log_partition = p.log_partition AND d.log_offset = p.log_offset
