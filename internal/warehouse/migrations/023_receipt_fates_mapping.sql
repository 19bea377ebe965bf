-- By which version of the mapping a receipt met its fate: the place of its rule is one of that text.
ALTER TABLE receipt_fates ADD COLUMN IF NOT EXISTS mapping_version LowCardinality(String) AFTER rule
