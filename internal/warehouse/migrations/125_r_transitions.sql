-- Stage reports with person and account, on the track they belong to: a deal, a company or a person; one on a shared
-- device is of whoever had it in hands then. A time of
-- reporting gives way to the last true time of the same stage that is not later.
CREATE OR REPLACE VIEW r_transitions AS
SELECT
    *,
    if(time_basis = 'reported' AND true_reports > 0, true_at, occurred_at) AS moved_at,
    raw_stage = '' AND earlier_reports > 0 AS stands_aside
FROM (
    SELECT
        *,
        countIf(time_basis = '') OVER w AS true_reports,
        maxIf(occurred_at, time_basis = '') OVER w AS true_at,
        count() OVER w - 1 AS earlier_reports
    FROM (
        SELECT
            t.* EXCEPT (reported_as, object_account, own_node, node, account_node, stage, funnel, ignored, version, is_deleted, hands),
            coalesce(nullIf(p.person, 0), t.node) AS person,
            coalesce(nullIf(a.account, 0), t.account_node) AS own_account,
            multiIf(t.object_type = 'deal' AND t.object_id != '', 'deal',
                    t.object_type = 'company' AND t.object_id != '', 'company', 'person') AS track,
            if(t.object_account IN ('', 'hubspot'), t.object_id, concat(t.object_account, ':', t.object_id)) AS object,
            multiIf(track = 'deal', object,
                    track = 'company', if(own_account != 0, leftPad(lower(hex(own_account)), 16, '0'), object),
                    person != 0, leftPad(lower(hex(person)), 16, '0'),
                    t.object_id != '', concat(t.object_type, '/', t.object_id),
                    concat('event/', t.event_id)) AS track_id,
            multiIf(t.name = 'lead_recycled', 'lead_recycled', t.stage != '', t.stage, concat('raw:', lower(t.raw_stage))) AS step
        FROM (
            SELECT
                u.*,
                h.hands AS hands,
                if(empty(hands), u.own_node, hands[greatest(1, arrayCount(x -> x.1 < 1000000 * (toUnixTimestamp64Milli(u.occurred_at) + 1), hands))].2) AS node
            FROM (SELECT * EXCEPT node, node AS own_node FROM stage_transitions FINAL WHERE ignored = '') AS u
            LEFT JOIN r_hands AS h ON h.device = u.own_node
        ) AS t
        LEFT JOIN r_persons AS p ON p.alias = t.node
        LEFT JOIN r_accounts AS a ON a.alias = t.account_node
    )
    WINDOW w AS (
        PARTITION BY track, track_id, step ORDER BY occurred_at, time_basis, event_id, name
        ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
    )
)
SETTINGS join_use_nulls = 0
