-- Every replay of many events as it stands: of its records the one with the highest number, and of several with that the first.
CREATE OR REPLACE VIEW v_replay_jobs AS
SELECT replay_id, state, kind, destinations, force, reason, who, at, changed, changed_by, filter, ids, events, missing, orders, foreseen, asked, outcome, note
FROM (SELECT * FROM replay_jobs ORDER BY replay_id, seq DESC, log_partition, log_offset LIMIT 1 BY replay_id)
