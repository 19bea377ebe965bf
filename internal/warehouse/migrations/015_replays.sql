-- One row per replay asked for.
CREATE TABLE IF NOT EXISTS replays (
    replay_id     String,
    event_id      String,
    event_name    LowCardinality(String),
    destinations  Array(LowCardinality(String)),
    force         Bool,
    reason        String,
    who           LowCardinality(String),
    at            DateTime64(3, 'UTC'),
    log_partition UInt32,
    log_offset    Int64
)
ENGINE = ReplacingMergeTree
ORDER BY (replay_id, log_partition, log_offset)
SETTINGS non_replicated_deduplication_window = 10000
