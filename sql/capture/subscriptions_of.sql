-- subscriptions_of: what the subscriptions of some customers are called.
--
-- Reads   %(customers)s, each once; {mapping}, the join of the mapping, where there is one.
-- Returns a row each: the customer, and its subscription; NULL if the mapping lacks it.
SELECT customer, {subscription} AS subscription
FROM unnest(%(customers)s::text[]) AS given (customer) {mapping}
