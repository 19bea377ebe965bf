-- Parts that will not work as they are and that nobody has acted on since.
CREATE OR REPLACE VIEW v_dead_letters AS
SELECT destination, name, event_id, part, at, reason, detail, attempt, http_status, trace_id, replay_id
FROM v_deliveries
WHERE state = 'dead'
