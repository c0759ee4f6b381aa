-- verdicts: what the rows of a span are to a meter.
--
-- Reads   {totals}, the statement sql/capture/totals.sql with its values.
-- Returns for each verdict how many rows, and what they cost in USD.
SELECT verdict, sum(requests)::bigint AS rows, sum(cost) AS cost
FROM ({totals}) AS total
GROUP BY verdict
