-- One row per record of a replay job: the whole job as it stood then. Counts are JSON by destination.
CREATE TABLE IF NOT EXISTS replay_jobs (
    replay_id     String,
    seq           Int64,
    state         LowCardinality(String),
    kind          LowCardinality(String),
    destinations  Array(LowCardinality(String)),
    force         Bool,
    reason        String,
    who           LowCardinality(String),
    at            DateTime64(3, 'UTC'),
    changed       DateTime64(3, 'UTC'),
    changed_by    LowCardinality(String),
    filter        String,
    ids           UInt32,
    events        UInt64,
    missing       UInt64,
    orders        UInt64,
    foreseen      String,
    asked         String,
    outcome       String,
    note          String,
    log_partition UInt32,
    log_offset    Int64
)
ENGINE = ReplacingMergeTree
ORDER BY (replay_id, seq, log_partition, log_offset)
SETTINGS non_replicated_deduplication_window = 10000
