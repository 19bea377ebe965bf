-- Where every event stands at every destination whose books it is in: the worst of its parts. An event is in the
-- books from the destination's activation on, and before it when a replay asked for it since.
CREATE OR REPLACE VIEW v_event_deliveries AS
WITH begun AS (
    SELECT
        destination,
        argMin(v.events_end, (v.log_partition, v.log_offset)) AS events_end,
        argMin(v.replays_end, (v.log_partition, v.log_offset)) AS replays_end
    FROM activations AS v
    GROUP BY destination
)
SELECT
    b.destination AS destination,
    b.name AS name,
    b.event_id AS event_id,
    b.received_at AS received_at,
    b.log_partition AS log_partition,
    b.log_offset AS log_offset,
    if(s.parts = 0, 'pending', s.worst.2) AS state,
    s.worst.3 AS reason,
    s.parts AS parts,
    b.since_activation AS since_activation
FROM (
    SELECT a.destination AS destination, e.name AS name, e.event_id AS event_id, e.received_at AS received_at,
        e.log_partition AS log_partition, e.log_offset AS log_offset,
        toBool(e.log_offset >= a.events_end[e.log_partition + 1]) AS since_activation
    FROM (SELECT name, event_id, received_at, log_partition, log_offset FROM events FINAL WHERE received_at >= now() - INTERVAL 12 MONTH) AS e
    CROSS JOIN begun AS a
    WHERE since_activation
        OR (a.destination, e.event_id, e.name) IN (
            SELECT r.destination, r.event_id, r.event_name
            FROM (SELECT arrayJoin(destinations) AS destination, event_id, event_name, log_partition, log_offset FROM replays) AS r
            INNER JOIN begun AS w ON w.destination = r.destination
            WHERE r.log_offset >= w.replays_end[r.log_partition + 1]
        )
) AS b
LEFT JOIN (
    SELECT
        v.destination AS destination, v.event_name AS name, v.event_id AS event_id, count() AS parts,
        max((
            transform(v.state, ['suppressed', 'delivered', 'parked', 'intent', 'dead'], [1, 2, 3, 4, 5], 0),
            if(v.state = 'intent', 'pending', v.state), v.reason
        )) AS worst
    FROM r_parts AS v
    WHERE position(v.part, '!') = 0 -- sent once more by force: a story of its own
    GROUP BY v.destination, v.event_name, v.event_id
) AS s ON s.destination = b.destination AND s.name = b.name AND s.event_id = b.event_id
SETTINGS join_use_nulls = 0
