-- Where each destination's books begin: the end of every partition of events and replays. Never expires.
CREATE TABLE IF NOT EXISTS activations (
    destination   LowCardinality(String),
    at            DateTime64(3, 'UTC'),
    events_end    Array(Int64),
    replays_end   Array(Int64),
    log_partition UInt32,
    log_offset    Int64
)
ENGINE = ReplacingMergeTree
ORDER BY (destination, at, log_partition, log_offset)
SETTINGS non_replicated_deduplication_window = 10000
