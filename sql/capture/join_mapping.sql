-- join_mapping: compare.sql's join of the operator's mapping, one row at most a customer.
--
-- Reads   a table of the operator's, of which anything may be true: a customer with two subscriptions has none.
-- Returns mapping.subscription, NULL where the mapping lacks the customer.
LEFT JOIN (SELECT customer, min(nullif(subscription, '')) AS subscription
           FROM {mapping}
           GROUP BY customer
           HAVING min(subscription) = max(subscription)) AS mapping USING (customer)
