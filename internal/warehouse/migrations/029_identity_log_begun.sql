-- What was known of roots before there was a log of them stands in it from the beginning of time.
INSERT INTO identity_log (account, node, fact_offset, root, stated_at)
SELECT account, node, version, root, toDateTime64(0, 3, 'UTC') FROM identity_overrides
WHERE (account, node, version) NOT IN (SELECT account, node, fact_offset FROM identity_log)
