-- The books of receipts over the last twelve months of receipt, by distinct receipt id. A receipt counts as its
-- strongest fate: erased, event, observation, completed, facts only; quarantined only while there is none of these.
CREATE OR REPLACE VIEW v_receipt_balance AS
SELECT
    source,
    count() AS accepted,
    countIf(fate = 'event') AS event,
    countIf(fate = 'observation') AS observation,
    countIf(fate = 'facts_only') AS facts_only,
    countIf(fate = 'completed') AS completed,
    countIf(fate = 'quarantined') AS quarantined,
    countIf(fate = 'erased') AS erased,
    countIf(fate = '') AS waiting,
    countIf(NOT kept) AS not_recorded
FROM (
    SELECT
        r.receipt_id AS receipt_id,
        any(r.source) AS source,
        max(r.is_receipt) AS kept,
        argMax(r.fate, transform(r.fate, ['quarantined', 'facts_only', 'completed', 'observation', 'event', 'erased'], [1, 2, 3, 4, 5, 6], 0)) AS fate
    FROM (
        SELECT receipt_id, toString(s.source) AS source, '' AS fate, true AS is_receipt
        FROM receipts AS s WHERE received_at >= now() - INTERVAL 12 MONTH
        UNION ALL
        SELECT receipt_id, toString(f.source) AS source, toString(f.fate) AS fate, false AS is_receipt
        FROM receipt_fates AS f WHERE received_at >= now() - INTERVAL 12 MONTH
    ) AS r
    GROUP BY r.receipt_id
)
GROUP BY source
ORDER BY source
