-- One row each time a mapping went live in a process. The sealed files are exactly as they were, gzipped JSON.
CREATE TABLE IF NOT EXISTS mapping_versions (
    mapping_version String,
    live_at         DateTime64(3, 'UTC'),
    process         LowCardinality(String),
    by              LowCardinality(String),
    before          String,
    file_names      Array(String),
    file_texts      Array(String) CODEC(ZSTD(3)),
    log_partition   UInt32,
    log_offset      Int64,
    sealed          String CODEC(NONE)
)
ENGINE = ReplacingMergeTree
ORDER BY (mapping_version, live_at, process, log_partition, log_offset)
SETTINGS non_replicated_deduplication_window = 10000
