-- One row per event: its first copy. No time in the sort key, and so no partitions: nothing there may differ in a second copy.
CREATE TABLE IF NOT EXISTS events (
    event_id        String,
    name            LowCardinality(String),
    occurred_at     DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    time_basis      LowCardinality(String),
    observed_at     Nullable(DateTime64(3, 'UTC')),
    received_at     DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    source          LowCardinality(String),
    way             LowCardinality(String),
    reported_as     LowCardinality(String),
    object_account  LowCardinality(String),
    object_type     LowCardinality(String),
    object_id       String,
    pipeline        LowCardinality(String),
    raw_stage       LowCardinality(String),
    stage           LowCardinality(String),
    funnel          Bool,
    rank            UInt16,
    counted_by      LowCardinality(String),
    covered_by      LowCardinality(String),
    ignored         LowCardinality(String),
    rule            LowCardinality(String),
    node            UInt64,
    account_node    UInt64,
    nodes           Array(UInt64),
    known_offset    Int64,
    consent         LowCardinality(String),
    mapping_version LowCardinality(String),
    id_recipe       UInt8,
    receipt_id      String,
    log_partition   UInt32,
    log_offset      Int64 CODEC(Delta, ZSTD(1)),
    version         UInt64,
    is_deleted      UInt8,
    sealed          String CODEC(NONE) TTL toDateTime(received_at) + INTERVAL 13 MONTH,
    INDEX by_receipt receipt_id TYPE bloom_filter(0.001) GRANULARITY 2,
    INDEX by_time received_at TYPE minmax GRANULARITY 1
)
ENGINE = ReplacingMergeTree(version, is_deleted)
ORDER BY (event_id, name)
TTL toDateTime(received_at) + INTERVAL 25 MONTH
SETTINGS non_replicated_deduplication_window = 10000
