-- mark: keeps of batches whether Lago was seen to hold all of them as they were sent.
--
-- Reads   arrays of ids, and of those among them that were found so; of batches that were accepted before they were read.
-- Writes  verified_at, NULL for the others. Locks in the order of ids, as all that changes several batches does.
-- Returns the ids.
WITH ours AS (
    SELECT id
    FROM reconciler.batch
    WHERE id = ANY(%(ids)s) AND state = 'accepted' AND answered_at <= %(visible)s
    ORDER BY id
    FOR UPDATE
)
UPDATE reconciler.batch
SET verified_at = CASE WHEN ours.id = ANY(%(equal)s::bigint[]) THEN clock_timestamp() END
FROM ours
WHERE batch.id = ours.id
RETURNING batch.id
