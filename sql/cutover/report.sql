-- report: what a cut-over has found, summed in four ways.
--
-- Reads   the temp tables requests, counted, matched and taking. Rows with windows in [since, until), and what is matched
--         after that; events from `since` on.
-- Returns sums of each kind, by day (UTC), by customer, by model and call type, those with most cost first and not more than
--         so many of each. `by` says which. Kinds:
--   taken over   matched rows that this cut-over takes over
--   taken before those that an earlier one took
--   missed       rows that this meter bills and that no event stands for
--   doubled      matched rows that this meter has billed by itself as well
--   left out     matched rows that this meter does not bill
--   after        matched rows of windows from `until` on
--   twice        events that no row is left for, and that say what another says that has come just before or after
--   no row       other events that no row says the same as
--   not counted  events that Lago counts nothing of
WITH said AS (
    SELECT counted.*,
           matched.id IS NOT NULL AS is_matched,
           max(moment) FILTER (WHERE matched.id IS NOT NULL) OVER (alike ORDER BY moment) AS before,
           min(moment) FILTER (WHERE matched.id IS NOT NULL) OVER (alike ORDER BY moment DESC) AS after
    FROM pg_temp.counted LEFT JOIN pg_temp.matched USING (id)
    WINDOW alike AS (PARTITION BY subscription, model, cost, input_tokens, output_tokens)
), entry AS (
    SELECT CASE WHEN matched.number IS NULL THEN 'missed'
                WHEN verdict NOT IN ('billable', 'unpriced') THEN 'left out'
                WHEN window_start >= %(until)s THEN 'after'
                WHEN before THEN 'taken before'
                WHEN taking.fits THEN 'taken over'
                ELSE 'doubled' END AS kind,
           (started_at AT TIME ZONE 'UTC')::date AS day, customer, name AS model, call_type,
           requests.input_tokens, requests.output_tokens, requests.cost
    FROM pg_temp.requests
         LEFT JOIN pg_temp.matched USING (window_start, number)
         LEFT JOIN pg_temp.taking USING (window_start, customer, model)
    WHERE window_start >= %(since)s
      AND (matched.number IS NOT NULL OR (verdict IN ('billable', 'unpriced') AND window_start < %(until)s))
    UNION ALL
    SELECT CASE WHEN NOT is_counted THEN 'not counted'
                WHEN moment - before <= %(slack)s::interval OR after - moment <= %(slack)s::interval THEN 'twice'
                ELSE 'no row' END,
           (moment AT TIME ZONE 'UTC')::date, subscription, model, '',
           coalesce(input_tokens, 0), coalesce(output_tokens, 0), coalesce(cost, 0)
    FROM said
    WHERE moment >= %(since)s
      AND bucket IS NULL
      AND NOT is_matched
), summed AS (
    SELECT kind,
           CASE grouping(day, customer, model, call_type) WHEN 15 THEN 'all' WHEN 7 THEN 'day' WHEN 11 THEN 'customer'
                ELSE 'model' END AS by,
           day, customer, model, call_type,
           count(*) AS requests, sum(input_tokens)::bigint AS input_tokens, sum(output_tokens)::bigint AS output_tokens,
           sum(cost) AS cost
    FROM entry
    GROUP BY GROUPING SETS ((kind), (kind, day), (kind, customer), (kind, model, call_type))
)
SELECT kind, by, day,
       CASE WHEN length(customer) > 200 THEN concat(left(customer, 200), '… (', length(customer), ' characters)')
            ELSE customer END AS customer,
       CASE WHEN length(model) > 200 THEN concat(left(model, 200), '… (', length(model), ' characters)')
            ELSE model END AS model,
       call_type, requests, input_tokens, output_tokens, cost
FROM (SELECT *, row_number() OVER (PARTITION BY kind, by ORDER BY cost DESC, requests DESC, day, customer, model) AS place
      FROM summed) AS placed
WHERE place <= %(most)s
ORDER BY kind, by, place
