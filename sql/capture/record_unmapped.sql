-- record_unmapped: keeps whose usage this look found without a subscription.
--
-- Reads   customers, as unmapped_customers.sql returns it.
-- Writes  reconciler.unmapped.
INSERT INTO reconciler.unmapped AS known (meter, window_start, id, customer, buckets, requests, cost)
SELECT %(meter)s, window_start, id, customer, buckets, requests, cost
FROM customers
WHERE fate = 'unmapped'
ON CONFLICT (meter, window_start, id) DO UPDATE
SET buckets = excluded.buckets, requests = excluded.requests, cost = excluded.cost
