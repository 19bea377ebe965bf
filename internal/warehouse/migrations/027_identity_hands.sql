-- In whose hands a shared device is since a time, in nanoseconds since 1970; holder 0: no hand begins then any more.
-- version is the offset of the fact that changed it, and the highest holds.
CREATE TABLE IF NOT EXISTS identity_hands (
    device  UInt64,
    since   Int64,
    holder  UInt64,
    version Int64
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (device, since)
SETTINGS index_granularity = 512, non_replicated_deduplication_window = 10000
