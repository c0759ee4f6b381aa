-- quarantined: events that Lago refuses for good, oldest window first; of one meter or of all (NULL).
--
-- Reads   the batches that are not accepted, by their index, and their events.
-- Returns one row an event: what a person needs to decide about it. Names are cut, payloads are left out: either may be
--         as long as the proxy takes.
SELECT event.meter,
       substr(payload, 20, 67) AS transaction_id,
       window_start,
       revision,
       left(customer, 200) AS customer,
       left(model, 200) AS model,
       left(subscription, 200) AS subscription,
       event.cost,
       event.input_tokens,
       event.output_tokens,
       event.requests,
       batch.conflict,
       batch.attempts,
       batch.attempted_at,
       batch.answered_at,
       batch.answer,
       batch.failure,
       batch.id AS batch,
       batch.events AS batch_events,
       row_number() OVER (PARTITION BY batch.id ORDER BY window_start, bucket, revision) - 1 AS place
FROM reconciler.batch JOIN reconciler.event ON event.batch = batch.id
WHERE batch.state = 'quarantined'
  AND (%(meter)s::text IS NULL OR batch.meter = %(meter)s)
ORDER BY event.meter, window_start, bucket, revision
