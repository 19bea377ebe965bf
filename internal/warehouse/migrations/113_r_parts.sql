-- The state of every part of every event at every destination: the records of deliveries folded in order as the
-- ledger folds them. The first terminal record holds, unless a replay takes the part up again; what was delivered stays so.
-- A record with a lower attempt than the state's is a fenced owner's. Somebody's discarding holds only for a dead letter or
-- what is held. The part '' stands for the whole event until its wait is over ('planned').
CREATE OR REPLACE VIEW r_parts AS
SELECT destination, event_name, event_id, part, records, last.2 AS state, log[last.1].5 AS reason, log[last.1].1 AS log_partition, log[last.1].2 AS log_offset
FROM (
    SELECT
        destination,
        event_name,
        event_id,
        part,
        arraySort(groupUniqArray((log_partition, log_offset, toString(d.state), d.replay_id, toString(d.reason), d.attempt))) AS log,
        length(log) AS records,
        arrayFold(
            (acc, r, i) -> if(r.3 = 'suppressed' AND r.5 = 'discarded',
                if(acc.2 = 'dead' OR (acc.2 = 'parked' AND acc.5 IN ('ambiguous', 'hold')), (toUInt64(i), r.3, acc.3, acc.4, r.5), acc),
                if((acc.2 IN ('delivered', 'dead', 'suppressed') AND (acc.2 = 'delivered' OR r.4 = '' OR r.4 = acc.3))
                    OR (r.3 NOT IN ('delivered', 'dead', 'suppressed') AND r.6 < acc.4), acc, (toUInt64(i), r.3, r.4, r.6, r.5))),
            log, arrayEnumerate(log), (toUInt64(0), '', '', toUInt32(0), '')
        ) AS last
    FROM deliveries AS d
    WHERE d.state NOT IN ('activation', 'control')
    GROUP BY destination, event_name, event_id, part
)
WHERE (part != '' OR reason != 'planned') AND last.1 > 0
