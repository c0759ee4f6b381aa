-- held_batches: the events of batches that are held for a closed period, by whose they are.
--
-- Reads   these batches. What was once on its way is left out: Lago may have it with the timestamp that it has now. So is
--         what takes usage back: in another period Lago may make 0 of it.
-- Returns one row a batch and external id: the batch, its attempt, its state, how many events it has, why it is held, the external
--         id, the places of its events.
SELECT batch.id, batch.attempts, batch.state, batch.events, batch.answer, placed.subscription, array_agg(placed.place)
FROM reconciler.batch,
     LATERAL (SELECT subscription, least(input_tokens, output_tokens, cost, requests) < 0 AS takes_back,
                     row_number() OVER (ORDER BY window_start, bucket, revision) - 1 AS place
              FROM reconciler.event
              WHERE event.batch = batch.id) AS placed
WHERE batch.id = ANY(%(batches)s)
  AND batch.meter = %(meter)s
  AND batch.state = 'held'
  AND batch.held_for = 'closed period'
  AND batch.open_since IS NULL
  AND NOT takes_back
GROUP BY batch.id, placed.subscription
ORDER BY batch.id
