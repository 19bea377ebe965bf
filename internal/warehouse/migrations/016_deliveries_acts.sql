-- What was sent (the hash of the item's own body), by which identifiers it could be matched, and who acted.
ALTER TABLE deliveries
    ADD COLUMN IF NOT EXISTS body_hash String,
    ADD COLUMN IF NOT EXISTS match Map(LowCardinality(String), LowCardinality(String)),
    ADD COLUMN IF NOT EXISTS who LowCardinality(String)
