-- requests: the rows of a span that bill something, each by itself, for a cut-over from LiteLLM's own callback.
--
-- Reads   the rows of "LiteLLM_SpendLogs" in [since, until), whole windows, and sums each by itself (totals.sql): there is
--         no second rule of what counts.
-- Returns one row a row, numbered within the span. Left out are failures that cost nothing, for which the callback sends
--         nothing, and costs that are no number. The end is where the request ended; so much after its start where the end
--         can't be read.
SELECT total.window_start,
       row_number() OVER () AS number,
       total.customer,
       total.model,
       total.verdict,
       total.input_tokens,
       total.output_tokens,
       total.cost,
       spent."startTime" AT TIME ZONE 'UTC' AS started_at,
       greatest(coalesce({ended}, spent."startTime" + %(reach)s::interval), spent."startTime") AT TIME ZONE 'UTC' AS ended_at,
       coalesce({name}::text, '') AS name,
       coalesce({group_name}::text, '') AS group_name,
       coalesce({call_type}::text, '') AS call_type
FROM (SELECT {columns}
      FROM {spend_logs}
      WHERE "startTime" >= %(since)s::timestamptz AT TIME ZONE 'UTC'
        AND "startTime" < %(until)s::timestamptz AT TIME ZONE 'UTC') AS spent
     CROSS JOIN LATERAL ({totals}) AS total
WHERE total.verdict <> 'failed'
  AND total.cost > '-Infinity'
  AND total.cost < 'Infinity'
