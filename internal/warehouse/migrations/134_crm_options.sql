-- What the values of the CRM's own lists are called, as last read.
CREATE TABLE IF NOT EXISTS crm_options (
    account  LowCardinality(String),
    object   LowCardinality(String),
    property String,
    value    String,
    label    String,
    read_at  DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(read_at)
ORDER BY (account, object, property, value)
SETTINGS non_replicated_deduplication_window = 10000
