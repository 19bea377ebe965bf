-- One row per record of deliveries, keyed by its place in the topic.
CREATE TABLE IF NOT EXISTS deliveries (
    destination   LowCardinality(String),
    event_id      String,
    event_name    LowCardinality(String),
    part          LowCardinality(String),
    state         LowCardinality(String),
    reason        LowCardinality(String),
    detail        String CODEC(ZSTD(3)),
    at            DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    attempt       UInt32,
    replay_id     String,
    owner         LowCardinality(String),
    ambiguous     Bool,
    due           Nullable(DateTime64(3, 'UTC')),
    give_up_at    Nullable(DateTime64(3, 'UTC')),
    first_try     Nullable(DateTime64(3, 'UTC')),
    slot          String,
    http_status   UInt16,
    latency_ms    UInt32,
    trace_id      String,
    batch_size    UInt32,
    value_micros  Nullable(Int64),
    currency      LowCardinality(String),
    log_partition UInt32,
    log_offset    Int64 CODEC(Delta, ZSTD(1)),
    sealed        String CODEC(NONE)
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(at)
ORDER BY (destination, event_id, event_name, part, at, log_partition, log_offset)
TTL toDateTime(at) + INTERVAL 13 MONTH
SETTINGS non_replicated_deduplication_window = 10000
