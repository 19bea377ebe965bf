-- Stages as the CRM's own settings have them, as last read: what a stage's id is called in its pipeline.
CREATE TABLE IF NOT EXISTS crm_stages (
    account        LowCardinality(String),
    object         LowCardinality(String),
    pipeline       String,
    pipeline_label String,
    stage          String,
    label          String,
    place          Int64,
    closed         LowCardinality(String),
    probability    LowCardinality(String),
    read_at        DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(read_at)
ORDER BY (account, object, pipeline, stage)
SETTINGS non_replicated_deduplication_window = 10000
