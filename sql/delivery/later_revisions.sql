-- later_revisions: which planned events wait behind events in conflict, so that they can be held.
--
-- Reads   the batches in conflict. A later revision that a sender has right now goes on.
-- Returns one row a batch: its number, its attempt, its state, how many events it has, and the places of the later revisions.
SELECT batch.id, batch.attempts, batch.state, batch.events, array_agg(placed.place)
FROM reconciler.event AS conflicting
     JOIN reconciler.event AS later USING (meter, window_start, bucket)
     JOIN reconciler.batch ON batch.id = later.batch
     JOIN LATERAL (SELECT revision, bucket, window_start,
                          row_number() OVER (ORDER BY window_start, bucket, revision) - 1 AS place
                   FROM reconciler.event
                   WHERE event.batch = batch.id) AS placed
          ON placed.window_start = later.window_start
             AND placed.bucket = later.bucket
             AND placed.revision = later.revision
WHERE conflicting.batch = ANY(%(batches)s)
  AND later.revision > conflicting.revision
  AND batch.state = 'planned'
  AND (batch.leased_until IS NULL OR batch.leased_until < clock_timestamp())
GROUP BY batch.id
ORDER BY batch.id
