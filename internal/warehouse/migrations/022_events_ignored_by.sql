-- Which ignore rule marked an event: its place in the mapping, file:line.
ALTER TABLE events ADD COLUMN IF NOT EXISTS ignored_by LowCardinality(String) AFTER ignored
