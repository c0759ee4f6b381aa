-- look_at_windows: what this look saw of every window in [since, until), the empty ones too.
--
-- Reads   totals, delta, mark and reconciler."window". A purged window keeps the usage that it had left when retention
--         reached it; what the source holds beyond that, or of any bucket beyond what is billed, arrived later: it is not
--         planned, it is reported. Both can be too little, as what was deleted since hides some; the larger one counts.
--         What was unmapped then can't be billed any more, and stays in view.
-- Returns looked: one row a window.
WITH seen AS (
    SELECT window_start,
           sum(requests)::bigint AS rows,
           sum(requests) FILTER (WHERE verdict = 'billable')::bigint AS requests,
           sum(cost) FILTER (WHERE verdict = 'billable') AS cost,
           sum(requests) FILTER (WHERE verdict = 'unattributed')::bigint AS unattributed_rows,
           sum(cost) FILTER (WHERE verdict = 'unattributed') AS unattributed_cost,
           sum(requests) FILTER (WHERE verdict = 'suspect')::bigint AS suspect_rows
    FROM pg_temp.totals
    GROUP BY window_start
), differing AS (
    SELECT window_start,
           count(*) FILTER (WHERE fate = 'plan') AS planned_events,
           sum(requests) FILTER (WHERE fate = 'plan') AS planned_rows,
           sum(cost) FILTER (WHERE fate = 'plan') AS planned_cost,
           count(*) FILTER (WHERE fate = 'frozen') AS frozen_buckets,
           -sum(cost) FILTER (WHERE fate = 'frozen') AS frozen_cost,
           count(*) FILTER (WHERE fate = 'unmapped') AS unmapped_buckets,
           sum(cost) FILTER (WHERE fate = 'unmapped') AS unmapped_cost,
           sum(greatest(requests, 0)) FILTER (WHERE fate = 'purged') AS unbilled_requests,
           sum(greatest(cost, 0)) FILTER (WHERE fate = 'purged') AS unbilled_cost
    FROM delta
    GROUP BY window_start
)
SELECT span.start,
       coalesce(seen.rows, 0) AS rows,
       coalesce(seen.requests, 0) AS requests,
       coalesce(seen.cost, 0) AS cost,
       coalesce(seen.unattributed_rows, 0) AS unattributed_rows,
       coalesce(seen.unattributed_cost, 0) AS unattributed_cost,
       coalesce(seen.suspect_rows, 0) AS suspect_rows,
       coalesce(differing.planned_events, 0) AS planned_events,
       coalesce(differing.planned_rows, 0) AS planned_rows,
       coalesce(differing.planned_cost, 0) AS planned_cost,
       coalesce(differing.frozen_buckets, 0) AS frozen_buckets,
       coalesce(differing.frozen_cost, 0) AS frozen_cost,
       CASE WHEN span.start <= mark.purge_mark THEN coalesce(before.unmapped_buckets, 0)
            ELSE coalesce(differing.unmapped_buckets, 0) END AS unmapped_buckets,
       CASE WHEN span.start <= mark.purge_mark THEN coalesce(before.unmapped_cost, 0)
            ELSE coalesce(differing.unmapped_cost, 0) END AS unmapped_cost,
       CASE WHEN span.start = mark.purge_mark THEN least(coalesce(before.kept_requests, before.requests, 0),
                                                   coalesce(seen.requests, 0))
            WHEN span.start < mark.purge_mark THEN 0 END AS kept_requests,
       CASE WHEN span.start = mark.purge_mark THEN least(coalesce(before.kept_cost, before.cost, 0),
                                                   coalesce(seen.cost, 0))
            WHEN span.start < mark.purge_mark THEN 0 END AS kept_cost,
       coalesce(differing.unbilled_requests, 0)::bigint AS unbilled_requests,
       coalesce(differing.unbilled_cost, 0) AS unbilled_cost
FROM generate_series(%(since)s::timestamptz, %(until)s::timestamptz - %(length)s::interval,
                     %(length)s::interval) AS span (start)
     CROSS JOIN mark
     LEFT JOIN seen ON seen.window_start = span.start
     LEFT JOIN differing ON differing.window_start = span.start
     LEFT JOIN reconciler."window" AS before ON before.meter = %(meter)s AND before.start = span.start
