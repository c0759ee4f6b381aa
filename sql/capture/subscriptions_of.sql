-- subscriptions_of: what the subscriptions of some customers are called.
--
-- Reads   an array of customers; the mapping, where there is one.
-- Returns a row each: the customer, and its subscription; NULL if the mapping lacks it.
SELECT customer, {subscription} AS subscription
FROM unnest(%(customers)s::text[]) AS asked (customer) {mapping}
