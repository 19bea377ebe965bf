-- The state of every part of every event at every destination: the records of deliveries folded in order as the
-- ledger folds them. The first terminal record holds, unless a replay takes the part up again; what was delivered stays so.
-- The part '' stands for the whole event until it has parts of its own.
CREATE OR REPLACE VIEW r_parts AS
SELECT destination, event_name, event_id, part, records, last.2 AS state, log[last.1].5 AS reason, log[last.1].1 AS log_partition, log[last.1].2 AS log_offset
FROM (
    SELECT *, count() OVER (PARTITION BY destination, event_name, event_id) AS parts
    FROM (
        SELECT
            destination,
            event_name,
            event_id,
            part,
            arraySort(groupUniqArray((log_partition, log_offset, toString(d.state), d.replay_id, toString(d.reason)))) AS log,
            length(log) AS records,
            arrayFold(
                (acc, r, i) -> if(acc.2 IN ('delivered', 'dead', 'suppressed') AND (acc.2 = 'delivered' OR r.4 = '' OR r.4 = acc.3), acc, (toUInt64(i), r.3, r.4)),
                log, arrayEnumerate(log), (toUInt64(0), '', '')
            ) AS last
        FROM deliveries AS d
        GROUP BY destination, event_name, event_id, part
    )
)
WHERE part != '' OR parts = 1
