-- One row per event with a touch. URLs stand here without query and fragment.
CREATE TABLE IF NOT EXISTS touches (
    event_id     String,
    name         LowCardinality(String),
    touch_at     DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    node         UInt64,
    account_node UInt64,
    source       LowCardinality(String),
    ignored      LowCardinality(String),
    kind         LowCardinality(String),
    platform     LowCardinality(String),
    utm_source   LowCardinality(String),
    utm_medium   LowCardinality(String),
    utm_campaign LowCardinality(String),
    utm_term     String CODEC(ZSTD(3)),
    utm_content  String CODEC(ZSTD(3)),
    campaign_id  LowCardinality(String),
    ad_set       LowCardinality(String),
    ad           LowCardinality(String),
    page         String CODEC(ZSTD(3)),
    referrer     String CODEC(ZSTD(3)),
    form         LowCardinality(String),
    click_types  Array(LowCardinality(String)),
    click_ids    Array(String) CODEC(ZSTD(3)),
    version      UInt64,
    is_deleted   UInt8
)
ENGINE = ReplacingMergeTree(version, is_deleted)
ORDER BY (event_id, name)
SETTINGS non_replicated_deduplication_window = 10000
