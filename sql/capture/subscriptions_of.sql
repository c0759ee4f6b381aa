-- subscriptions_of: what the subscriptions of the customers in totals are called.
--
-- Reads   the temp table totals, a row a customer; the mapping, where there is one.
-- Returns a row each: the customer, and its subscription; NULL if the mapping lacks it.
SELECT customer, {subscription} AS subscription
FROM pg_temp.totals {mapping}
