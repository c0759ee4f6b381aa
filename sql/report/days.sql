-- days: what was billed on each day (UTC) from one on, newest first, and what has become of it. A batch lies within one
-- day.
SELECT (first_window AT TIME ZONE 'UTC')::date AS day,
       sum(events)::bigint AS events,
       sum(input_tokens) AS input_tokens,
       sum(output_tokens) AS output_tokens,
       sum(cost) AS cost,
       coalesce(sum(events) FILTER (WHERE state = 'accepted'), 0)::bigint AS accepted,
       coalesce(sum(cost) FILTER (WHERE state = 'accepted'), 0) AS accepted_cost,
       coalesce(sum(cost) FILTER (WHERE state = 'planned'), 0) AS planned_cost,
       coalesce(sum(cost) FILTER (WHERE state = 'held'), 0) AS held_cost,
       coalesce(sum(cost) FILTER (WHERE state IN ('quarantined', 'discarded')), 0) AS refused_cost
FROM reconciler.batch
WHERE meter = %(meter)s AND first_window >= %(since)s
GROUP BY 1
ORDER BY 1 DESC
