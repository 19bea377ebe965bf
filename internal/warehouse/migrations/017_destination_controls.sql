-- One row per act on a whole destination: run, pause, halt, disable. The last one in the log holds.
CREATE TABLE IF NOT EXISTS destination_controls (
    destination   LowCardinality(String),
    at            DateTime64(3, 'UTC'),
    control       LowCardinality(String),
    detail        String,
    who           LowCardinality(String),
    log_partition UInt32,
    log_offset    Int64
)
ENGINE = ReplacingMergeTree
ORDER BY (destination, at, log_partition, log_offset)
SETTINGS non_replicated_deduplication_window = 10000
