-- Owners as last read, without name and address.
CREATE TABLE IF NOT EXISTS crm_owners (
    account      LowCardinality(String),
    owner        String,
    user         String,
    email_sha256 String,
    teams        Array(String),
    archived     Bool,
    read_at      DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(read_at)
ORDER BY (account, owner)
SETTINGS non_replicated_deduplication_window = 10000
