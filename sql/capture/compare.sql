-- compare: delta = source total - billed, for every bucket of the windows in [since, until) where they differ.
--
-- Reads   totals, and the meter's events of these windows, whatever their state, with what was taken over of LiteLLM's
--         callback, less the credits that a person has put on record: these are the ledger, billed is derived from them and
--         stored nowhere.
-- Returns delta: one row a differing bucket, with its subscription and its fate:
--   plan      becomes one more event, whatever retention has deleted: what is above billed is billed
--   frozen    some measure is below billed: nothing is planned and nothing credited
--   purged    the same in a window that retention has reached: its doing
--   unmapped  the operator's mapping lacks this customer: left as it is, so the next look finds it again
--
-- It may be only of those whose usage goes to one subscription (only).
--
-- It also says of each bucket how many rows it has, whether one of its events is in conflict, and whether one is still
-- on its way.
-- A bucket without tokens and cost of which nothing is billed differs from nothing.
WITH entry AS (
    SELECT window_start, customer, model, NULL::int AS revision, NULL::bigint AS batch,
           input_tokens, output_tokens, cost, requests, requests AS rows
    FROM pg_temp.totals
    WHERE verdict IN ('billable', 'unpriced')
    UNION ALL
    SELECT window_start, customer, model, revision, batch, -input_tokens, -output_tokens, -cost, -requests, 0
    FROM reconciler.event
    WHERE meter = %(meter)s AND window_start >= %(since)s AND window_start < %(until)s
    UNION ALL
    SELECT window_start, customer, model, NULL, NULL, -input_tokens, -output_tokens, -cost, -requests, 0
    FROM reconciler.takeover
    WHERE meter = %(meter)s AND window_start >= %(since)s AND window_start < %(until)s
    UNION ALL
    SELECT window_start, customer, model, NULL, NULL, input_tokens, output_tokens, cost, requests, 0
    FROM reconciler.credit
    WHERE meter = %(meter)s AND window_start >= %(since)s AND window_start < %(until)s AND undone_at IS NULL
), differing AS (
    SELECT window_start, customer, model,
           coalesce(max(revision) + 1, 0) AS revision,
           coalesce(bool_or(batch IN (SELECT id FROM reconciler.batch WHERE meter = %(meter)s AND state <> 'accepted' AND conflict)), false) AS conflict,
           coalesce(bool_or(batch IN (SELECT id FROM reconciler.batch WHERE meter = %(meter)s AND state = 'planned')), false) AS under_way,
           sum(input_tokens)::bigint AS input_tokens,
           sum(output_tokens)::bigint AS output_tokens,
           sum(cost) AS cost,
           sum(requests)::bigint AS requests,
           sum(rows)::bigint AS rows
    FROM entry
    GROUP BY window_start, customer, model
    HAVING sum(input_tokens) <> 0
        OR sum(output_tokens) <> 0
        OR sum(cost) <> 0
        OR (sum(requests) <> 0 AND max(revision) IS NOT NULL)
)
SELECT differing.*,
       {subscription} AS subscription,
       CASE WHEN least(input_tokens, output_tokens, cost, requests) < 0
                THEN CASE WHEN window_start <= (SELECT purge_mark FROM mark) THEN 'purged' ELSE 'frozen' END
            WHEN {subscription} IS NULL THEN 'unmapped'
            ELSE 'plan' END AS fate
FROM differing {mapping} {only}
