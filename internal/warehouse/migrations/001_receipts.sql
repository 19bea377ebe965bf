-- One row per record of inbound. The sealed body is the receipt exactly as it stands in the log.
CREATE TABLE IF NOT EXISTS receipts (
    receipt_id    String,
    source        LowCardinality(String),
    way           LowCardinality(String),
    received_at   DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    browser       Bool,
    completes     String,
    log_partition UInt32,
    log_offset    Int64 CODEC(Delta, ZSTD(1)),
    sealed        String CODEC(NONE)
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(received_at)
ORDER BY (receipt_id, received_at, log_partition, log_offset)
TTL toDateTime(received_at) + INTERVAL 13 MONTH
SETTINGS non_replicated_deduplication_window = 10000
