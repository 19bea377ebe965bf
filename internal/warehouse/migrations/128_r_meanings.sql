-- What a name stands for in reports: as the last mapping that went live and has the name says.
CREATE OR REPLACE VIEW r_meanings AS
SELECT
    word,
    argMax(meaning, (m.live_at, m.log_partition, m.log_offset)) AS meaning
FROM mapping_versions AS m
ARRAY JOIN
    m.names AS word,
    m.meanings AS meaning
GROUP BY word
