-- Every root that a node ever had, keyed by the offset of the fact that gave it, with the time at which the fact was
-- appended to the log: who was who, as it was known then.
CREATE TABLE IF NOT EXISTS identity_log (
    account     Bool,
    node        UInt64,
    fact_offset Int64,
    root        UInt64,
    stated_at   DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree
ORDER BY (account, node, fact_offset)
SETTINGS non_replicated_deduplication_window = 10000
