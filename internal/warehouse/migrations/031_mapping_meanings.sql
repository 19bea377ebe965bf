-- What each name of the mapping stands for in reports: lead, opportunity, revenue, expansion, other.
ALTER TABLE mapping_versions
    ADD COLUMN IF NOT EXISTS names Array(LowCardinality(String)),
    ADD COLUMN IF NOT EXISTS meanings Array(LowCardinality(String))
