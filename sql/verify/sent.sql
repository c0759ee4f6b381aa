-- sent: the events of batches, as they were sent.
--
-- Returns one row an event; its id is the first field of its payload, at the place where plan.sql has put it.
SELECT batch, substr(payload, 20, 67) AS transaction_id, window_start, left(subscription, 200) AS subscription, cost, payload
FROM reconciler.event
WHERE batch = ANY(%(batches)s)
