-- compare: delta = source total - billed, for every bucket of the windows in [since, until) where they differ.
--
-- Reads   totals, and the meter's events of these windows, whatever their state, less the credits that a person has put
--         on record: the events are the ledger, billed is derived from them and stored nowhere.
-- Returns delta: one row a differing bucket, with its subscription and its fate:
--   plan      becomes one more event, whatever retention has deleted: what is above billed is billed
--   frozen    some measure is below billed: nothing is planned and nothing credited
--   purged    the same in a window that retention has reached: its doing
--   unmapped  the operator's mapping lacks this customer: left as it is, so the next look finds it again
--
-- It also says of each bucket how many rows it has, whether one of its events is in conflict, and whether one is still
-- on its way.
-- A bucket without tokens and cost of which nothing is billed differs from nothing.
WITH billed AS (
    SELECT window_start, customer, model,
           max(revision) AS revision,
           bool_or(batch IN (SELECT id FROM reconciler.batch WHERE meter = %(meter)s AND state <> 'accepted' AND conflict)) AS conflict,
           bool_or(batch IN (SELECT id FROM reconciler.batch WHERE meter = %(meter)s AND state = 'planned')) AS under_way,
           sum(input_tokens)::bigint AS input_tokens,
           sum(output_tokens)::bigint AS output_tokens,
           sum(cost) AS cost,
           sum(requests)::bigint AS requests
    FROM (SELECT window_start, customer, model, revision, batch, input_tokens, output_tokens, cost, requests
          FROM reconciler.event
          WHERE meter = %(meter)s AND window_start >= %(since)s AND window_start < %(until)s
          UNION ALL
          SELECT window_start, customer, model, NULL, NULL, -input_tokens, -output_tokens, -cost, -requests
          FROM reconciler.credit
          WHERE meter = %(meter)s AND window_start >= %(since)s AND window_start < %(until)s
            AND undone_at IS NULL) AS entry
    GROUP BY window_start, customer, model
), source AS (
    SELECT window_start, customer, model,
           sum(input_tokens)::bigint AS input_tokens,
           sum(output_tokens)::bigint AS output_tokens,
           sum(cost) AS cost,
           sum(requests)::bigint AS requests
    FROM pg_temp.totals
    WHERE verdict IN ('billable', 'unpriced')
    GROUP BY window_start, customer, model
), differing AS (
    SELECT window_start, customer, model,
           coalesce(billed.revision + 1, 0) AS revision,
           coalesce(billed.conflict, false) AS conflict,
           coalesce(billed.under_way, false) AS under_way,
           coalesce(source.input_tokens, 0) - coalesce(billed.input_tokens, 0) AS input_tokens,
           coalesce(source.output_tokens, 0) - coalesce(billed.output_tokens, 0) AS output_tokens,
           coalesce(source.cost, 0) - coalesce(billed.cost, 0) AS cost,
           coalesce(source.requests, 0) - coalesce(billed.requests, 0) AS requests,
           coalesce(source.requests, 0) AS rows
    FROM source FULL JOIN billed USING (window_start, customer, model)
    WHERE (source.requests IS DISTINCT FROM billed.requests
           OR source.cost IS DISTINCT FROM billed.cost
           OR source.input_tokens IS DISTINCT FROM billed.input_tokens
           OR source.output_tokens IS DISTINCT FROM billed.output_tokens)
      AND (billed.requests <> 0 OR billed.cost <> 0 OR billed.input_tokens <> 0 OR billed.output_tokens <> 0
           OR source.cost <> 0 OR source.input_tokens <> 0 OR source.output_tokens <> 0)
)
SELECT differing.*,
       {subscription} AS subscription,
       CASE WHEN least(input_tokens, output_tokens, cost, requests) < 0
                THEN CASE WHEN window_start <= (SELECT purge_mark FROM mark) THEN 'purged' ELSE 'frozen' END
            WHEN {subscription} IS NULL THEN 'unmapped'
            ELSE 'plan' END AS fate
FROM differing {mapping}
