-- sent: the events of batches, as they were sent.
--
-- Returns one row an event, with its place in its batch.
SELECT batch, row_number() OVER (PARTITION BY batch ORDER BY window_start, bucket, revision) - 1 AS place,
       {event_id} AS transaction_id, window_start, subscription, cost, payload
FROM reconciler.event
WHERE batch = ANY(%(batches)s)
