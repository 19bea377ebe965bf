-- Where a destination's books begin, and what somebody did to it, is kept for good: a ledger rebuilt later needs both.
ALTER TABLE deliveries
    MODIFY TTL toDateTime(at) + INTERVAL 13 MONTH DELETE WHERE state NOT IN ('activation', 'control')
