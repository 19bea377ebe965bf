-- The stage history of every track by business time. A run is one stay in a stage, however often it was reported;
-- its head is the report that stands for it.
CREATE OR REPLACE VIEW r_history AS
SELECT
    *,
    multiIf(covered_by != '', concat('covered_by_', covered_by),
            stands_aside OR NOT head, 're_report',
            step = 'lead_recycled', 'recycled',
            rank = 0, 'unmapped',
            came_from_rank > rank, 'recycled',
            nth > 1, 'repeat',
            'first') AS kind
FROM (
    SELECT
        *,
        row_number() OVER (stay ORDER BY covered_by != '', time_basis, moved_at, event_id, name) = 1 AS head,
        if(countIf(time_basis = '') OVER stay > 0, minIf(moved_at, time_basis = '') OVER stay, min(moved_at) OVER stay) AS at,
        maxIf(last_rank, starts) OVER stay AS came_from_rank,
        maxIf(last_step, starts) OVER stay AS came_from,
        sum(starts) OVER (PARTITION BY track, track_id, stands_aside, step ORDER BY run) AS nth
    FROM (
        SELECT *, sum(starts) OVER w AS run
        FROM (
            SELECT
                *,
                lagInFrame(step) OVER w AS last_step,
                last_step != step AS starts,
                anyLastIf(rank, rank > 0) OVER (
                    PARTITION BY track, track_id, stands_aside ORDER BY moved_at, rank, time_basis, event_id, name
                    ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
                ) AS last_rank
            FROM r_transitions
            WINDOW w AS (
                PARTITION BY track, track_id, stands_aside ORDER BY moved_at, rank, time_basis, event_id, name
                ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
            )
        )
        WINDOW w AS (
            PARTITION BY track, track_id, stands_aside ORDER BY moved_at, rank, time_basis, event_id, name
            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        )
    )
    WINDOW stay AS (PARTITION BY track, track_id, stands_aside, run)
)
