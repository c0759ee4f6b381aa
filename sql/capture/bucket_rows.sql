-- bucket_rows: the rows of one bucket, each with what becomes of it by the rules that totals are made by.
--
-- Reads   the rows of "LiteLLM_SpendLogs" in [since, until), one window, and sums each by itself (totals.sql): there is no
--         second rule of what counts.
-- Returns one row a row, the oldest first. What a suspect one costs says nothing: 0.
SELECT {request_id} AS request_id,
       spent."startTime" AT TIME ZONE 'UTC' AS started_at,
       verdict,
       input_tokens,
       output_tokens,
       CASE verdict WHEN 'suspect' THEN 0 ELSE cost END AS cost
FROM (SELECT {columns}
      FROM {spend_logs}
      WHERE "startTime" >= %(since)s::timestamptz AT TIME ZONE 'UTC'
        AND "startTime" < %(until)s::timestamptz AT TIME ZONE 'UTC') AS spent
     CROSS JOIN LATERAL ({totals}) AS total
WHERE total.customer = %(customer)s AND total.model = %(model)s
ORDER BY spent."startTime", request_id
