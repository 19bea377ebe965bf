-- Person to account, deal to account and deal to contact, as stated, keyed by the fact's offset.
CREATE TABLE IF NOT EXISTS associations (
    from_node   UInt64,
    to_node     UInt64,
    fact_offset Int64,
    at          DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    from_scheme LowCardinality(String),
    to_scheme   LowCardinality(String),
    is_primary  Bool,
    removed     Bool,
    source      LowCardinality(String)
)
ENGINE = ReplacingMergeTree
ORDER BY (from_node, to_node, fact_offset)
SETTINGS non_replicated_deduplication_window = 10000
