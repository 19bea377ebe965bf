-- One row per counted conversion. What counts once is the slot that destinations send once: an event id where the
-- mapping counts every one, else a deal, else a person. A report that comes from a stage of higher rank is a step back
-- and counts nothing; it is told as a lane tells it, by the corrected course of the deal or the person of its slot. What
-- stands aside in its own course never steps back, and a report that is told of another object than the one it counts
-- under comes there at its own time. Time, reports and worth are those of the stay that counts.
-- What an expression needs is a column of the level below: an alias used twice is planned twice.
CREATE OR REPLACE VIEW r_conversions AS
SELECT
    c.*,
    coalesce(nullIf(c.own_account, 0), nullIf(da.account, 0), nullIf(pa.account, 0), 0) AS account,
    multiIf(amount_micros IS NOT NULL, 'amount', tcv_micros IS NOT NULL, 'tcv', acv_micros IS NOT NULL, 'acv',
            arr_micros IS NOT NULL, 'arr', mrr_micros IS NOT NULL, 'mrr', '') AS revenue_basis,
    coalesce(amount_micros, tcv_micros, acv_micros, arr_micros, mrr_micros, 0) AS revenue_micros
FROM (
    SELECT
        name,
        head.1 AS event_id,
        at,
        head.2 AS time_basis,
        head.3 AS source,
        head.4 AS way,
        head.5 AS object_type,
        head.6 AS object_id,
        head.7 AS object_node,
        head.8 AS person,
        head.9 AS own_account,
        counted_by,
        slot,
        reports,
        worth,
        worth.1 AS amount_micros,
        worth.2 AS mrr_micros,
        worth.3 AS arr_micros,
        worth.4 AS acv_micros,
        worth.5 AS tcv_micros,
        worth.6 AS currency,
        worth.7 AS billing_period
    FROM (
        -- One slot: its first stay, and where a deal counts also what others than the deal itself reported of it.
        SELECT
            multiIf(startsWith(key, 'event/'), 'event', startsWith(key, 'deal/'), 'deal', 'person') AS counted_by,
            if(match(key, '^person/[0-9a-f]{16}$'), substring(key, 8), key) AS slot,
            name,
            argMin(s.head, (s.at, s.head.1)) AS head,
            min(s.at) AS at,
            if(counted_by = 'deal', sum(s.reports), argMin(s.reports, (s.at, s.head.1))) AS reports,
            if(counted_by = 'deal', argMinIf(s.worth, s.worth_at, s.valued), argMin(s.worth, (s.at, s.head.1))) AS worth
        FROM (
            SELECT
                key,
                name,
                argMinIf(e.told, (e.time_basis, e.moved_at, e.event_id), e.counts) AS head,
                if(countIf(e.counts AND e.time_basis = '') > 0, minIf(e.moved_at, e.counts AND e.time_basis = ''), minIf(e.moved_at, e.counts)) AS at,
                count() AS reports,
                argMinIf(e.money, (e.moved_at, e.event_id), e.has_money) AS worth,
                minIf((e.moved_at, e.event_id), e.has_money) AS worth_at,
                max(e.has_money) AS valued
            FROM (
                -- What the last stage before the report's millisecond was, and the last of another name before that.
                SELECT
                    key, name, event_id, time_basis, moved_at, told, money, has_money, own, stay, candidate,
                    startsWith(key, 'event/') OR aside OR if(
                        anyLastIf(last_name, last_ms != ms) OVER upto = name,
                        anyLastIf(other_rank, last_ms != ms) OVER upto,
                        anyLastIf(last_rank, last_ms != ms) OVER upto
                    ) <= rank AS counts
                FROM (
                    SELECT *, anyLastIf(last_rank, reaches AND last_name != name) OVER past AS other_rank
                    FROM (
                        -- A report lies among what its own deal or person reached, and where its slot is another's asks there.
                        SELECT
                            key, name, event_id, time_basis, moved_at, told, money, has_money, own, stay, rank,
                            laid.1 AS lies,
                            laid.2 AS reaches,
                            laid.3 AS candidate,
                            laid.4 AS ms,
                            stands_aside AND lies = own AS aside,
                            anyLastIf(name, laid.2) OVER past AS last_name,
                            anyLastIf(rank, laid.2) OVER past AS last_rank,
                            anyLast(laid.4) OVER past AS last_ms
                        FROM (
                            SELECT
                                *,
                                multiIf(counted_by = 'deal' AND deal != '', concat('deal/', deal),
                                        counted_by = 'event' OR (who = 0 AND object_node = 0), concat('event/', event_id),
                                        who != 0, concat('person/', leftPad(lower(hex(who)), 16, '0')),
                                        own) AS key
                            FROM (
                                SELECT
                                    toString(h.name) AS name, h.event_id AS event_id, h.time_basis AS time_basis, h.moved_at AS moved_at,
                                    h.rank AS rank, h.counted_by AS counted_by, h.object_node AS object_node,
                                    toUnixTimestamp64Milli(h.occurred_at) + 1 AS own_ms, toUnixTimestamp64Milli(h.moved_at) + 1 AS moved_ms,
                                    h.stands_aside AS stands_aside,
                                    concat(h.track, '/', h.track_id) AS own,
                                    (h.stands_aside, h.run) AS stay,
                                    c.event_id != '' AND h.covered_by = '' AS asks,
                                    multiIf(h.person != 0, h.person, h.object_type = 'deal', d.person, 0) AS who,
                                    multiIf(h.track = 'deal', h.object,
                                            c.deal = '', '',
                                            c.object_account IN ('', 'hubspot'), c.deal,
                                            concat(c.object_account, ':', c.deal)) AS deal,
                                    (h.event_id, h.time_basis, h.source, h.way, h.object_type, h.object_id, h.object_node, who, h.own_account) AS told,
                                    c.money AS money,
                                    c.has_money AS has_money
                                FROM r_history AS h
                                LEFT JOIN (
                                    SELECT
                                        event_id, name, deal, object_account,
                                        (amount_micros, mrr_micros, arr_micros, acv_micros, tcv_micros, currency, billing_period) AS money,
                                        coalesce(amount_micros, mrr_micros, arr_micros, acv_micros, tcv_micros) IS NOT NULL AS has_money
                                    FROM conversions FINAL
                                ) AS c ON c.event_id = h.event_id AND c.name = h.name
                                LEFT JOIN r_deal_persons AS d ON d.deal = h.object_node
                                WHERE h.rank > 0
                            )
                        )
                        ARRAY JOIN if(asks AND key != own AND NOT startsWith(key, 'event/'), [(own, NOT stands_aside, false, moved_ms), (key, false, true, own_ms)], [(own, NOT stands_aside, asks, moved_ms)]) AS laid
                        WINDOW past AS (PARTITION BY laid.1 ORDER BY laid.4, event_id, rank, name ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
                    )
                    WINDOW past AS (PARTITION BY lies ORDER BY ms, event_id, rank, name ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
                )
                WINDOW upto AS (PARTITION BY lies ORDER BY ms, event_id, rank, name ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
            ) AS e
            WHERE e.candidate
            GROUP BY key, name, own, stay
            HAVING countIf(e.counts) > 0
            ORDER BY at, head.1
            LIMIT 1 BY key, name, own
        ) AS s
        GROUP BY key, name
    )
) AS c
LEFT JOIN r_person_accounts AS da ON da.entity = c.object_node
LEFT JOIN r_person_accounts AS pa ON pa.entity = c.person
SETTINGS join_use_nulls = 0
