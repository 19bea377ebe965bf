-- What somebody said of advertising: given or denied. The latest holds, at one time a no.
CREATE TABLE IF NOT EXISTS consents (
    node        UInt64,
    fact_offset Int64,
    at          DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    consent     LowCardinality(String),
    source      LowCardinality(String)
)
ENGINE = ReplacingMergeTree
ORDER BY (node, fact_offset)
SETTINGS non_replicated_deduplication_window = 10000
