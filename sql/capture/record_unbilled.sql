-- record_unbilled: keeps whose usage this look found that is not billed.
--
-- Reads   unbilled, as found_unbilled.sql returns it.
-- Writes  reconciler.unbilled.
INSERT INTO reconciler.unbilled AS known (meter, window_start, why, id, customer, buckets, requests, cost)
SELECT %(meter)s, window_start, why, id, customer, buckets, requests, cost
FROM unbilled
ON CONFLICT (meter, window_start, why, id) DO UPDATE
SET buckets = excluded.buckets, requests = excluded.requests, cost = excluded.cost
