-- The identity log, one row per fact, keyed by its offset: the graph can be folded again from here.
CREATE TABLE IF NOT EXISTS identity_facts (
    fact_offset Int64 CODEC(Delta, ZSTD(1)),
    kind        LowCardinality(String),
    at          DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    nodes       Array(UInt64),
    schemes     Array(LowCardinality(String)),
    weak        Bool,
    is_primary  Bool,
    removed     Bool,
    stage       LowCardinality(String),
    raw_stage   LowCardinality(String),
    cause       String,
    source      LowCardinality(String),
    fact        String CODEC(ZSTD(3))
)
ENGINE = ReplacingMergeTree
ORDER BY fact_offset
SETTINGS non_replicated_deduplication_window = 10000
