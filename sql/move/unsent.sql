-- unsent: the events of a move that Lago never had (misplaced.sql: redirect), by their batches.
--
-- Returns one row a batch: its number, its attempt, its state, how many events it has, why it is held, its answer, and
--         the places of these events.
WITH {misplaced}
SELECT batch.id, batch.attempts, batch.state, batch.events, batch.held_for, batch.answer,
       array_agg(placed.place ORDER BY placed.place)
FROM (SELECT DISTINCT batch FROM misplaced WHERE fate = 'redirect') AS unsent
     JOIN reconciler.batch ON batch.id = unsent.batch
     CROSS JOIN LATERAL (SELECT window_start, bucket, revision,
                                row_number() OVER (ORDER BY window_start, bucket, revision) - 1 AS place
                         FROM reconciler.event
                         WHERE event.batch = batch.id) AS placed
     JOIN misplaced ON misplaced.fate = 'redirect'
                       AND misplaced.window_start = placed.window_start
                       AND misplaced.bucket = placed.bucket
                       AND misplaced.revision = placed.revision
GROUP BY batch.id
ORDER BY batch.id
