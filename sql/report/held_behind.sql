-- held_behind: the held batches with later revisions of events that a person has just decided about.
--
-- Reads   the batches of those events.
-- Returns one row a batch: its number, its attempt, its state, how many events it has, and the places of those later revisions.
SELECT batch.id, batch.attempts, batch.state, batch.events, array_agg(held.place)
FROM reconciler.batch
     JOIN LATERAL (SELECT event.*, row_number() OVER (ORDER BY window_start, bucket, revision) - 1 AS place
                   FROM reconciler.event
                   WHERE event.batch = batch.id) AS held ON true
WHERE batch.state = 'held'
  AND batch.held_for = 'conflict'
  AND batch.meter = ANY(%(meters)s)
  AND EXISTS (SELECT FROM reconciler.event AS decided
              WHERE decided.batch = ANY(%(batches)s)
                AND decided.meter = held.meter
                AND decided.window_start = held.window_start
                AND decided.bucket = held.bucket
                AND decided.revision < held.revision)
GROUP BY batch.id
ORDER BY batch.id
