-- In whose hands each shared device was: (since, holder) in order of time. What was on it before the first is the first's.
CREATE OR REPLACE VIEW r_hands AS
SELECT device, arraySort(groupArray((since, holder))) AS hands
FROM (
    SELECT h.device AS device, h.since AS since, argMax(h.holder, h.version) AS holder
    FROM identity_hands AS h
    GROUP BY device, since
    HAVING holder != 0
)
GROUP BY device
