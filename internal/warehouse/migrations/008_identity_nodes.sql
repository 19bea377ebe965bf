-- One row per identifier ever seen, with its whole value, so that two values of one node can be found.
CREATE TABLE IF NOT EXISTS identity_nodes (
    scheme     LowCardinality(String),
    value      String CODEC(ZSTD(3)),
    node       UInt64,
    first_seen SimpleAggregateFunction(min, DateTime64(3, 'UTC'))
)
ENGINE = AggregatingMergeTree
ORDER BY (scheme, value, node)
SETTINGS non_replicated_deduplication_window = 10000
