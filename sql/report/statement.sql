-- statement: one customer's usage in [since, until) per day (UTC) and model, beside what is billed of it, and why not all is.
--
-- Reads   the temp table totals: what the source says; what differs (compared.sql): run it where that is undone. The
--         customer's events and credits of these windows, and what was taken over of LiteLLM's callback.
-- Returns one row a day and model. Billed is of events and what was taken over, less credits. Rows that are not billed are
--         counted by their verdict (totals.sql). Arrays say by fate how many buckets differ, and by how much:
--         source - billed. Fates are those of compare.sql, and of what would be planned:
--   unsettled  in windows that are not settled yet
--   next       in windows that every pass looks at
--         Long models are cut and say so.
WITH {compared}, entry AS (
    SELECT window_start, model, verdict AS kind, 0 AS events, input_tokens, output_tokens,
           CASE verdict WHEN 'suspect' THEN 0 ELSE cost END AS cost, requests,
           0 AS billed_input_tokens, 0 AS billed_output_tokens, 0 AS billed_cost, 0 AS billed_requests
    FROM pg_temp.totals
    WHERE customer = %(customer)s
    UNION ALL
    SELECT window_start, model, state, 1, 0, 0, 0, 0, event.input_tokens, event.output_tokens, event.cost, event.requests
    FROM reconciler.event JOIN reconciler.batch ON batch.id = event.batch
    WHERE event.meter = %(meter)s AND window_start >= %(since)s AND window_start < %(until)s AND customer = %(customer)s
    UNION ALL
    SELECT window_start, model, 'taken over', 0, 0, 0, 0, 0, input_tokens, output_tokens, cost, requests
    FROM reconciler.takeover
    WHERE meter = %(meter)s AND window_start >= %(since)s AND window_start < %(until)s AND customer = %(customer)s
    UNION ALL
    SELECT window_start, model, 'credit', 0, 0, 0, 0, 0, -input_tokens, -output_tokens, -cost, -requests
    FROM reconciler.credit
    WHERE meter = %(meter)s AND window_start >= %(since)s AND window_start < %(until)s AND customer = %(customer)s
      AND undone_at IS NULL
), line AS (
    SELECT (window_start AT TIME ZONE 'UTC')::date AS day,
           model,
           coalesce(sum(requests) FILTER (WHERE kind IN ('billable', 'unpriced')), 0)::bigint AS requests,
           coalesce(sum(input_tokens) FILTER (WHERE kind IN ('billable', 'unpriced')), 0)::bigint AS input_tokens,
           coalesce(sum(output_tokens) FILTER (WHERE kind IN ('billable', 'unpriced')), 0)::bigint AS output_tokens,
           coalesce(sum(cost) FILTER (WHERE kind IN ('billable', 'unpriced')), 0) AS cost,
           sum(billed_requests)::bigint AS billed_requests,
           sum(billed_input_tokens)::bigint AS billed_input_tokens,
           sum(billed_output_tokens)::bigint AS billed_output_tokens,
           sum(billed_cost) AS billed_cost,
           sum(events)::bigint AS events,
           coalesce(sum(billed_cost) FILTER (WHERE kind NOT IN ('credit', 'taken over')), 0) AS events_cost,
           coalesce(sum(billed_cost) FILTER (WHERE kind = 'taken over'), 0) AS taken_over_cost,
           coalesce(-sum(billed_cost) FILTER (WHERE kind = 'credit'), 0) AS credited_cost,
           coalesce(sum(billed_cost) FILTER (WHERE kind = 'accepted'), 0) AS accepted_cost,
           coalesce(sum(billed_cost) FILTER (WHERE kind = 'planned'), 0) AS planned_cost,
           coalesce(sum(billed_cost) FILTER (WHERE kind = 'held'), 0) AS held_cost,
           coalesce(sum(billed_cost) FILTER (WHERE kind = 'quarantined'), 0) AS quarantined_cost,
           coalesce(sum(billed_cost) FILTER (WHERE kind = 'discarded'), 0) AS discarded_cost,
           coalesce(sum(requests) FILTER (WHERE kind = 'unpriced'), 0)::bigint AS unpriced_rows,
           coalesce(sum(requests) FILTER (WHERE kind = 'excluded'), 0)::bigint AS excluded_rows,
           coalesce(sum(cost) FILTER (WHERE kind = 'excluded'), 0) AS excluded_cost,
           coalesce(sum(requests) FILTER (WHERE kind = 'failed'), 0)::bigint AS failed_rows,
           coalesce(sum(requests) FILTER (WHERE kind = 'suspect'), 0)::bigint AS suspect_rows
    FROM entry
    GROUP BY day, model
), difference AS (
    SELECT day, model, array_agg(fate) AS fates, array_agg(buckets) AS buckets, array_agg(cost) AS costs
    FROM (SELECT (window_start AT TIME ZONE 'UTC')::date AS day, model, reason.fate, count(*) AS buckets, sum(cost) AS cost
          FROM delta,
               LATERAL (SELECT CASE WHEN delta.fate <> 'plan' THEN delta.fate
                                    WHEN window_start + %(length)s::interval > %(settled)s THEN 'unsettled'
                                    WHEN window_start >= %(fresh_since)s THEN 'next'
                                    ELSE 'plan' END AS fate) AS reason
          WHERE customer = %(customer)s
          GROUP BY day, model, reason.fate) AS of_fate
    GROUP BY day, model
)
SELECT day,
       CASE WHEN length(model) <= 200 THEN model
            ELSE concat(left(model, 200), '… (', length(model), ' characters)') END AS model,
       requests, input_tokens, output_tokens, cost, billed_requests, billed_input_tokens, billed_output_tokens, billed_cost,
       events, events_cost, taken_over_cost, credited_cost, accepted_cost, planned_cost, held_cost, quarantined_cost, discarded_cost,
       unpriced_rows, excluded_rows, excluded_cost, failed_rows, suspect_rows,
       coalesce(fates, '{{}}') AS fates,
       coalesce(buckets, '{{}}') AS buckets,
       coalesce(costs, '{{}}') AS costs
FROM line LEFT JOIN difference USING (day, model)
ORDER BY day, line.model
