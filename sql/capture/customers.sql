-- customers: whose usage a chunk has, of those whose names are no longer than a mapping's.
--
-- Reads   the temp table totals.
-- Returns the customers, each once.
SELECT DISTINCT customer
FROM pg_temp.totals
WHERE verdict IN ('billable', 'unpriced') AND length(customer) <= %(longest)s
