-- way: batches, and all planned ones that have to go before them (waits.sql), whoever's they are.
--
-- Reads   an array of batches.
-- Returns a number each.
WITH RECURSIVE way AS (
    SELECT unnest(%(batches)s::bigint[]) AS id
    UNION
    SELECT other.id
    FROM way
         JOIN reconciler.batch ON batch.id = way.id AND batch.behind
         JOIN reconciler.event ON event.batch = batch.id
         JOIN reconciler.event AS earlier ON earlier.meter = event.meter
                                         AND earlier.window_start = event.window_start
                                         AND earlier.bucket = event.bucket
                                         AND earlier.revision < event.revision
         JOIN reconciler.batch AS other ON other.id = earlier.batch AND other.state = 'planned'
)
SELECT id FROM way ORDER BY id
