-- One row per funnel event that no ignore rule took: what it is worth, in micro-units of its currency.
CREATE TABLE IF NOT EXISTS conversions (
    event_id       String,
    name           LowCardinality(String),
    occurred_at    DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    time_basis     LowCardinality(String),
    source         LowCardinality(String),
    way            LowCardinality(String),
    object_account LowCardinality(String),
    object_type    LowCardinality(String),
    object_id      String,
    node           UInt64,
    account_node   UInt64,
    rank           UInt16,
    counted_by     LowCardinality(String),
    covered_by     LowCardinality(String),
    amount_micros  Nullable(Int64),
    mrr_micros     Nullable(Int64),
    arr_micros     Nullable(Int64),
    acv_micros     Nullable(Int64),
    tcv_micros     Nullable(Int64),
    currency       LowCardinality(String),
    billing_period LowCardinality(String),
    version        UInt64,
    is_deleted     UInt8
)
ENGINE = ReplacingMergeTree(version, is_deleted)
ORDER BY (event_id, name)
SETTINGS non_replicated_deduplication_window = 10000
