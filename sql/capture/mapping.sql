-- mapping: the subscriptions of some customers, from a table of the operator's own.
--
-- Reads   {customers}, a query of theirs, and that table, of which anything may be true.
-- Returns what it says of each customer, once. Names are compared as bytes, whatever the collation.
SELECT DISTINCT customer::text COLLATE "C" AS customer, subscription::text COLLATE "C" AS subscription
FROM {mapping}
WHERE customer::text COLLATE "C" IN ({customers})
