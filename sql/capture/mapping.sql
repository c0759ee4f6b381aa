-- mapping: the subscriptions of a chunk's customers, from a table of the operator's own.
--
-- Reads   the temp table totals, and that table, of which anything may be true.
-- Returns what it says of each customer, once. Names are compared as bytes, whatever the collation.
SELECT DISTINCT customer::text COLLATE "C" AS customer, subscription::text COLLATE "C" AS subscription
FROM {mapping}
WHERE customer::text COLLATE "C" IN (SELECT customer FROM pg_temp.totals)
