-- The label that an association was said with, or said to be gone with; '' is the association itself.
ALTER TABLE associations ADD COLUMN IF NOT EXISTS role LowCardinality(String)
