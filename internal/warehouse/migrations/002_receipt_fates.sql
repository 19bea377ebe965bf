-- One row per fate record of events; received_at is that of the receipt.
CREATE TABLE IF NOT EXISTS receipt_fates (
    receipt_id    String,
    source        LowCardinality(String),
    way           LowCardinality(String),
    received_at   DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    fate          LowCardinality(String),
    reason        LowCardinality(String),
    detail        String CODEC(ZSTD(3)),
    event_name    LowCardinality(String),
    event_id      String,
    rule          LowCardinality(String),
    log_partition UInt32,
    log_offset    Int64 CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(received_at)
ORDER BY (receipt_id, received_at, log_partition, log_offset)
TTL toDateTime(received_at) + INTERVAL 13 MONTH
SETTINGS non_replicated_deduplication_window = 10000
