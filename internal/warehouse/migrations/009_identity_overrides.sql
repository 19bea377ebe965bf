-- The root of every node whose cluster ever changed; version is the offset of the fact that changed it, and the highest holds.
CREATE TABLE IF NOT EXISTS identity_overrides (
    account Bool,
    node    UInt64,
    root    UInt64,
    version Int64
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (account, node)
SETTINGS index_granularity = 512, non_replicated_deduplication_window = 10000
