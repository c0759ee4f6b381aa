-- seen: whose usage a span holds, before anything is billed.
--
-- Reads   totals, as totals.sql sums them over the span.
-- Returns one row a customer and model with usage that can be billed: how many events it would be, their cost and tokens,
--         the first and the last window. Names that no index of Lago holds (above 2,704 bytes) are cut, and say so.
SELECT CASE WHEN octet_length(customer) <= 2704 THEN customer
            ELSE concat(left(customer, 200), '… (', length(customer), ' characters)') END AS customer,
       octet_length(customer) > 2704 AS too_long,
       model,
       count(*) AS events,
       sum(cost) AS cost,
       sum(input_tokens)::bigint AS input_tokens,
       sum(output_tokens)::bigint AS output_tokens,
       min(window_start) AS first_window,
       max(window_start) AS last_window
FROM ({totals}) AS totals
WHERE verdict IN ('billable', 'unpriced')
  AND (input_tokens > 0 OR output_tokens > 0 OR cost > 0)
GROUP BY 1, 2, 3
