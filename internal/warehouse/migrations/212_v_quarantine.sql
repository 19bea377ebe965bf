-- Receipts that could not be used and have not become anything since, with the newest reason.
CREATE OR REPLACE VIEW v_quarantine AS
SELECT
    f.receipt_id AS receipt_id,
    any(f.source) AS source,
    any(f.way) AS way,
    any(f.received_at) AS received_at,
    argMax(f.reason, (f.log_partition, f.log_offset)) AS reason,
    argMax(f.detail, (f.log_partition, f.log_offset)) AS detail
FROM receipt_fates AS f
GROUP BY f.receipt_id
HAVING countIf(f.fate != 'quarantined') = 0
