-- record_windows: what this look saw of every window in [since, until), the empty ones too.
--
-- Reads   the temp tables totals and delta.
-- Writes  reconciler."window". A purged window keeps the usage that it had left when retention reached it; what the
--         source holds beyond that arrived later: it is not planned, it is reported.
-- Returns one row: the sums that the run's summary shows.
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
           sum(cost) FILTER (WHERE fate = 'unmapped') AS unmapped_cost
    FROM pg_temp.delta
    GROUP BY window_start
), looked AS (
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
           coalesce(differing.unmapped_buckets, 0) AS unmapped_buckets,
           coalesce(differing.unmapped_cost, 0) AS unmapped_cost,
           CASE WHEN span.start = %(purge_mark)s THEN least(coalesce(before.kept_requests, before.requests, 0),
                                                       coalesce(seen.requests, 0))
                WHEN span.start < %(purge_mark)s THEN 0 END AS kept_requests,
           CASE WHEN span.start = %(purge_mark)s THEN least(coalesce(before.kept_cost, before.cost, 0),
                                                       coalesce(seen.cost, 0))
                WHEN span.start < %(purge_mark)s THEN 0 END AS kept_cost
    FROM generate_series(%(since)s::timestamptz, %(until)s::timestamptz - %(length)s::interval,
                         %(length)s::interval) AS span (start)
         LEFT JOIN seen ON seen.window_start = span.start
         LEFT JOIN differing ON differing.window_start = span.start
         LEFT JOIN reconciler."window" AS before ON before.meter = %(meter)s AND before.start = span.start
), recorded AS (
    INSERT INTO reconciler."window" AS known (
        meter, start, rows, requests, cost, unattributed_rows, unattributed_cost, suspect_rows,
        frozen_buckets, frozen_cost, unmapped_buckets, unmapped_cost, kept_requests, kept_cost, late_rows, late_cost)
    SELECT %(meter)s, start, rows, requests, cost, unattributed_rows, unattributed_cost, suspect_rows,
           frozen_buckets, frozen_cost, unmapped_buckets, unmapped_cost, kept_requests, kept_cost,
           coalesce(requests - kept_requests, 0), coalesce(cost - kept_cost, 0)
    FROM looked
    ON CONFLICT (meter, start) DO UPDATE
    SET rows = excluded.rows,
        requests = excluded.requests,
        cost = excluded.cost,
        unattributed_rows = excluded.unattributed_rows,
        unattributed_cost = excluded.unattributed_cost,
        suspect_rows = excluded.suspect_rows,
        frozen_buckets = excluded.frozen_buckets,
        frozen_cost = excluded.frozen_cost,
        unmapped_buckets = excluded.unmapped_buckets,
        unmapped_cost = excluded.unmapped_cost,
        kept_requests = excluded.kept_requests,
        kept_cost = excluded.kept_cost,
        late_rows = excluded.late_rows,
        late_cost = excluded.late_cost,
        looked_at = clock_timestamp()
)
SELECT count(*) AS windows,
       coalesce(sum(planned_events), 0)::bigint AS events_planned,
       coalesce(sum(planned_rows), 0)::bigint AS rows,
       coalesce(sum(planned_cost), 0) AS cost_planned,
       coalesce(sum(unattributed_rows), 0)::bigint AS unattributed_rows,
       coalesce(sum(unattributed_cost), 0) AS unattributed_cost,
       coalesce(sum(suspect_rows), 0)::bigint AS suspect_rows,
       coalesce(sum(frozen_buckets), 0)::bigint AS frozen_buckets,
       coalesce(sum(unmapped_buckets), 0)::bigint AS unmapped_buckets
FROM looked
