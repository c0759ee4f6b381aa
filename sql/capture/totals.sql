-- totals: exact sums per bucket, read from the proxy's spend table.
--
-- Reads   the rows of "LiteLLM_SpendLogs" whose "startTime" lies in [since, until), by that column's index.
-- Returns one row for each window, customer, model and verdict:
--   verdict  billable      usage that is billed
--            unpriced      the same with tokens and no cost, and no cache hit: LiteLLM has no price for it
--            unattributed  usage without a customer (NULL, '' or blank)
--            suspect       negative, NaN or infinite spend, negative tokens, or names that no event can hold; these are
--                          left out here
--            excluded      left out by RECONCILE_EXCLUDE, or a free cache hit left out by RECONCILE_CACHE_HITS
--            failed        failures that cost nothing
--   requests counts rows. Every row is in exactly one verdict, so a window's count and its totals agree.
--
-- spend is a double: its shortest round-trip text is what LiteLLM computed; spend::numeric would round to
-- 15 digits, and sum(spend) would depend on the order of the rows. Names are told apart by their bytes, whatever type or
-- collation their columns have.
SELECT window_start AT TIME ZONE 'UTC' AS window_start,
       CASE WHEN unnamable THEN '' ELSE customer END AS customer,
       CASE WHEN unnamable THEN '' ELSE model END AS model,
       -- ascii() looks at the first character only: that rules out nearly all of them.
       CASE WHEN unnamable AND verdict IN ('billable', 'unpriced') THEN 'suspect'
            WHEN verdict IN ('billable', 'unpriced') AND ascii(customer) <= 32 AND btrim(customer, E' \t\n\x0b\f\r') = ''
            THEN 'unattributed' ELSE verdict END AS verdict,
       input_tokens,
       output_tokens,
       cost,
       requests
FROM (SELECT bucket.*, octet_length(customer) + octet_length(model) > 4000000 OR {broken} AS unnamable
FROM (SELECT date_bin(%(length)s::interval, "startTime", timestamp '2000-01-01') AS window_start,
             coalesce({customer}::text, '') COLLATE "C" AS customer,
             coalesce({model}::text, '') COLLATE "C" AS model,
             -- The common case first: it decides what a look costs.
             CASE WHEN spend > 0 AND spend < 'Infinity' AND (prompt_tokens | completion_tokens) >= 0
                       AND NOT {excluded} THEN 'billable'
                  WHEN NOT (spend >= 0 AND spend < 'Infinity') OR (prompt_tokens | completion_tokens) < 0 THEN 'suspect'
                  WHEN {excluded} THEN 'excluded'
                  WHEN {status} = 'failure' THEN 'failed'
                  WHEN (prompt_tokens | completion_tokens) > 0 AND {cache_hit} IS DISTINCT FROM 'True' THEN 'unpriced'
                  ELSE 'billable' END AS verdict,
             sum(prompt_tokens) AS input_tokens,
             sum(completion_tokens) AS output_tokens,
             sum(spend::text::numeric) AS cost,
             count(*) AS requests
      FROM {spend_logs}
      WHERE "startTime" >= %(since)s::timestamptz AT TIME ZONE 'UTC'
        AND "startTime" < %(until)s::timestamptz AT TIME ZONE 'UTC'
      GROUP BY 1, 2, 3, 4) AS bucket) AS named_bucket
