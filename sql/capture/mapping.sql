-- mapping: the subscriptions of a chunk's customers, from a table of the operator's own.
--
-- Reads   the temp table totals, and that table, of which anything may be true.
-- Returns one row a customer; none for one with two subscriptions. Names are compared as bytes, whatever the collation.
SELECT customer::text COLLATE "C" AS customer, min(nullif(subscription::text, '')) AS subscription
FROM {mapping}
WHERE customer::text COLLATE "C" IN (SELECT customer FROM pg_temp.totals)
GROUP BY 1
HAVING min(subscription::text COLLATE "C") = max(subscription::text COLLATE "C")
