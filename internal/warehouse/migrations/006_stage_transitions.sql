-- One row per event that says which stage a contact, company or deal is in.
CREATE TABLE IF NOT EXISTS stage_transitions (
    event_id       String,
    name           LowCardinality(String),
    occurred_at    DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    time_basis     LowCardinality(String),
    source         LowCardinality(String),
    way            LowCardinality(String),
    reported_as    LowCardinality(String),
    object_account LowCardinality(String),
    object_type    LowCardinality(String),
    object_id      String,
    object_node    UInt64,
    node           UInt64,
    account_node   UInt64,
    pipeline       LowCardinality(String),
    raw_stage      LowCardinality(String),
    stage          LowCardinality(String),
    funnel         Bool,
    rank           UInt16,
    counted_by     LowCardinality(String),
    covered_by     LowCardinality(String),
    ignored        LowCardinality(String),
    version        UInt64,
    is_deleted     UInt8
)
ENGINE = ReplacingMergeTree(version, is_deleted)
ORDER BY (event_id, name)
SETTINGS non_replicated_deduplication_window = 10000
