-- look_at_windows: what this look saw of every window in [since, until), the empty ones too.
--
-- Reads   totals, delta, mark, customers (unbilled_customers.sql), reconciler."window" and reconciler.unbilled.
-- Returns looked: one row a window. In a window that retention has reached:
--   kept_requests  the fewest rows that it is known to have had since. Of the rows that it has now, as many at most were
--                  there already
--   late_rows      the rows of buckets that hold less than was billed, beyond those: they arrived since, and whether they
--                  are billed can't be told. There may be more
--   late_cost      what such a bucket costs beyond what was billed of it: that is not billed
--   unmapped_…     also what retention has deleted before its customer was mapped: it was never billed
WITH seen AS (
    SELECT window_start,
           sum(requests)::bigint AS rows,
           sum(requests) FILTER (WHERE verdict IN ('billable', 'unpriced'))::bigint AS requests,
           sum(cost) FILTER (WHERE verdict = 'billable') AS cost,
           sum(requests) FILTER (WHERE verdict = 'unattributed')::bigint AS unattributed_rows,
           sum(cost) FILTER (WHERE verdict = 'unattributed') AS unattributed_cost,
           sum(requests) FILTER (WHERE verdict = 'suspect')::bigint AS suspect_rows
    FROM pg_temp.totals
    GROUP BY window_start
), unpriced AS (
    SELECT window_start, sum(rows)::bigint AS rows, sum(tokens)::bigint AS tokens,
           (array_agg(left(model, 100) ORDER BY rows DESC))[1:10] AS models
    FROM (SELECT window_start, model, sum(requests) AS rows, sum(input_tokens + output_tokens) AS tokens
          FROM pg_temp.totals
          WHERE verdict = 'unpriced'
          GROUP BY window_start, model) AS of_model
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
           sum(rows) FILTER (WHERE fate = 'purged') AS untold_rows,
           sum(greatest(requests, 0)) FILTER (WHERE fate = 'purged') AS unbilled_rows,
           sum(greatest(cost, 0)) FILTER (WHERE fate = 'purged') AS unbilled_cost
    FROM delta
    GROUP BY window_start
), mapped AS (
    SELECT window_start, sum(known.buckets) AS buckets, sum(known.cost) AS cost
    FROM reconciler.unbilled AS known JOIN customers USING (window_start, id)
    WHERE meter = %(meter)s AND known.why = 'unmapped' AND customers.why = 'plan'
    GROUP BY window_start
)
SELECT span.start,
       coalesce(seen.rows, 0) AS rows,
       coalesce(seen.requests, 0) AS requests,
       coalesce(seen.cost, 0) AS cost,
       coalesce(seen.unattributed_rows, 0) AS unattributed_rows,
       coalesce(seen.unattributed_cost, 0) AS unattributed_cost,
       coalesce(seen.suspect_rows, 0) AS suspect_rows,
       coalesce(unpriced.rows, 0) AS unpriced_rows,
       coalesce(unpriced.tokens, 0) AS unpriced_tokens,
       coalesce(unpriced.models, ARRAY[]::text[]) AS unpriced_models,
       coalesce(differing.planned_events, 0) AS planned_events,
       coalesce(differing.planned_rows, 0) AS planned_rows,
       coalesce(differing.planned_cost, 0) AS planned_cost,
       coalesce(differing.frozen_buckets, 0) AS frozen_buckets,
       coalesce(differing.frozen_cost, 0) AS frozen_cost,
       greatest(coalesce(differing.unmapped_buckets, 0),
                CASE WHEN span.start <= mark.purge_mark
                     THEN before.unmapped_buckets - coalesce(mapped.buckets, 0) END) AS unmapped_buckets,
       greatest(coalesce(differing.unmapped_cost, 0),
                CASE WHEN span.start <= mark.purge_mark
                          AND before.unmapped_buckets > coalesce(mapped.buckets, 0)
                     THEN before.unmapped_cost - coalesce(mapped.cost, 0) END) AS unmapped_cost,
       kept.requests AS kept_requests,
       greatest(differing.untold_rows - kept.requests, differing.unbilled_rows, 0)::bigint AS late_rows,
       coalesce(differing.unbilled_cost, 0) AS late_cost
FROM generate_series(%(since)s::timestamptz, %(until)s::timestamptz - %(length)s::interval,
                     %(length)s::interval) AS span (start)
     CROSS JOIN mark
     LEFT JOIN seen ON seen.window_start = span.start
     LEFT JOIN unpriced ON unpriced.window_start = span.start
     LEFT JOIN differing ON differing.window_start = span.start
     LEFT JOIN mapped ON mapped.window_start = span.start
     LEFT JOIN reconciler."window" AS before ON before.meter = %(meter)s AND before.start = span.start
     CROSS JOIN LATERAL (
         SELECT CASE WHEN span.start < mark.before THEN 0
                     WHEN span.start <= mark.purge_mark
                         THEN least(coalesce(before.kept_requests, before.requests), coalesce(seen.requests, 0)) END AS requests
     ) AS kept
