-- What was said of an account's node: one row per field of each fact, '' where there is none any more. The latest holds.
CREATE TABLE IF NOT EXISTS account_fields (
    node        UInt64,
    field       LowCardinality(String),
    fact_offset Int64,
    at          DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    value       String CODEC(ZSTD(3)),
    source      LowCardinality(String)
)
ENGINE = ReplacingMergeTree
ORDER BY (node, field, fact_offset)
SETTINGS non_replicated_deduplication_window = 10000
