-- seen_slices: how much of the usage that a span holds lies in each of some slices of customers.
--
-- Reads   totals, as totals.sql sums them over the span. Arrays: a slice's customer, its begin, and its end, exclusive.
--         Usage lies in a slice by its event's timestamp, the last millisecond of its window.
-- Returns one row a slice with usage, by its number from 1 on: how many events it would be, their cost, the first and the
--         last window.
SELECT number,
       count(*) AS events,
       sum(cost) AS cost,
       min(window_start) AS first_window,
       max(window_start) AS last_window
FROM unnest(%(names)s::text[], %(slices_since)s::timestamptz[], %(slices_until)s::timestamptz[])
         WITH ORDINALITY AS slice (name, begins, ends, number)
     JOIN ({totals}) AS totals ON customer = name
                              AND window_start + %(length)s::interval > begins
                              AND window_start + %(length)s::interval <= ends
WHERE verdict IN ('billable', 'unpriced')
  AND (input_tokens > 0 OR output_tokens > 0 OR cost > 0)
GROUP BY number
