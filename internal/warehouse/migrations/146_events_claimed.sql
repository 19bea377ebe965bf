-- What the sender took the event to be, where it said so (tracklayer_stage and the like) and the mapping says another.
ALTER TABLE events ADD COLUMN IF NOT EXISTS claimed String AFTER stage
