-- The CRM id of the deal that a report of something else names: what it counts under where the mapping says so.
ALTER TABLE conversions ADD COLUMN IF NOT EXISTS deal String
