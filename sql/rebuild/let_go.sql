-- let_go: what waited behind a conflict is planned again, where none of its buckets has one any more.
WITH ours AS (
    SELECT id
    FROM reconciler.batch
    WHERE meter = %(meter)s
      AND state = 'held'
      AND held_for = 'conflict'
      AND NOT EXISTS (SELECT
                      FROM reconciler.event
                           JOIN reconciler.event AS earlier USING (meter, window_start, bucket)
                           JOIN reconciler.batch AS other ON other.id = earlier.batch
                      WHERE event.batch = batch.id
                        AND earlier.revision < event.revision
                        AND other.conflict
                        AND other.state <> 'accepted')
    ORDER BY id
    FOR UPDATE
)
UPDATE reconciler.batch
SET state = 'planned', held_for = NULL, answer = NULL, answered_at = NULL, asked_at = NULL, admitted_at = NULL
FROM ours
WHERE batch.id = ours.id
