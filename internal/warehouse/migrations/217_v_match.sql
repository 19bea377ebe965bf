-- By which identifiers events could be matched, per day, destination and event: of every part's last record that says
-- it. An identifier is the vendor's own key (em, fbc, SHA256_EMAIL); missing counts parts that did not have it.
CREATE OR REPLACE VIEW v_match AS
SELECT
    toDate(at) AS day,
    destination,
    event_name AS name,
    pair.1 AS identifier,
    count() AS parts,
    countIf(pair.2 = 'usable') AS usable,
    countIf(pair.2 = 'prehashed') AS prehashed,
    countIf(pair.2 = 'refused') AS refused,
    countIf(pair.2 = 'missing') AS missing
FROM (
    SELECT
        toString(d.destination) AS destination,
        toString(d.event_name) AS event_name,
        max(d.at) AS at,
        arrayJoin(CAST(argMax(d.match, (d.at, d.log_partition, d.log_offset)) AS Array(Tuple(String, String)))) AS pair
    FROM deliveries AS d
    WHERE notEmpty(d.match)
    GROUP BY d.destination, d.event_name, d.event_id, d.part
)
GROUP BY day, destination, name, identifier
ORDER BY day, destination, name, identifier
