-- The books of every destination over the last twelve months of receipt.
CREATE OR REPLACE VIEW v_delivery_balance AS
SELECT
    destination,
    count() AS events,
    countIf(state = 'delivered') AS delivered,
    countIf(state = 'dead') AS dead,
    countIf(state = 'suppressed') AS suppressed,
    countIf(state = 'parked') AS parked,
    countIf(state = 'pending') AS pending,
    countIf(state = 'pending' AND parts > 0) AS open_intents,
    sumMap(if(state = 'suppressed', map(toString(reason), toUInt64(1)), map())) AS suppressed_by_reason,
    sumMap(if(state = 'parked', map(toString(reason), toUInt64(1)), map())) AS parked_by_reason
FROM v_event_deliveries
GROUP BY destination
ORDER BY destination
