-- The record with which a part of an event died, its built body sealed.
CREATE TABLE IF NOT EXISTS dead_letters (
    destination   LowCardinality(String),
    event_id      String,
    event_name    LowCardinality(String),
    part          LowCardinality(String),
    at            DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    reason        LowCardinality(String),
    detail        String CODEC(ZSTD(3)),
    attempt       UInt32,
    http_status   UInt16,
    trace_id      String,
    log_partition UInt32,
    log_offset    Int64,
    sealed        String CODEC(NONE)
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(at)
ORDER BY (destination, event_id, event_name, part, at, log_partition, log_offset)
TTL toDateTime(at) + INTERVAL 6 MONTH
SETTINGS non_replicated_deduplication_window = 10000
