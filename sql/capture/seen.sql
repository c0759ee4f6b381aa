-- seen: whose usage a span holds, for setup.
--
-- Reads   totals, as totals.sql sums them over the span; if asked for, two arrays: customers, and a moment for each.
-- Returns one row a customer with usage that can be billed; with arrays only of those, and of what lies before their
--         moments. An event's moment is the last millisecond of its window. Names that no index of Lago holds (above
--         2,704 bytes) are cut, and say so.
SELECT CASE WHEN octet_length(customer) <= 2704 THEN customer
            ELSE concat(left(customer, 200), '… (', length(customer), ' characters)') END AS customer,
       octet_length(customer) > 2704 AS too_long,
       count(*) AS events,
       sum(cost) AS cost,
       min(window_start) AS first_window,
       max(window_start) AS last_window
FROM ({totals}) AS totals
WHERE verdict IN ('billable', 'unpriced')
  AND (input_tokens > 0 OR output_tokens > 0 OR cost > 0)
  AND (%(customers)s::text[] IS NULL
       OR EXISTS (SELECT
                  FROM unnest(%(customers)s::text[], %(moments)s::timestamptz[]) AS asked (name, moment)
                  WHERE name = customer AND window_start + %(length)s::interval <= moment))
GROUP BY 1, 2
