-- unattributed: usage without a customer, by day (UTC) and model.
--
-- Reads   totals, as totals.sql sums them over a span, and arrays of the begins and ends of what is in scope there.
-- Returns one row a day and model, those with the most cost first.
SELECT (window_start AT TIME ZONE 'UTC')::date AS day,
       CASE WHEN length(model) <= 200 THEN model
            ELSE concat(left(model, 200), '… (', length(model), ' characters)') END AS model,
       sum(requests)::bigint AS requests,
       sum(input_tokens)::bigint AS input_tokens,
       sum(output_tokens)::bigint AS output_tokens,
       sum(cost) AS cost
FROM ({totals}) AS totals
WHERE verdict = 'unattributed'
  AND EXISTS (SELECT
              FROM unnest(%(begins)s::timestamptz[], %(ends)s::timestamptz[]) AS scope (begins, ends)
              WHERE window_start >= begins AND window_start < ends)
GROUP BY 1, model
ORDER BY 1 DESC, cost DESC, model
