-- let_go: what was held for a closed period is planned again, as the settings say that all of it is sent.
WITH ours AS (
    SELECT id FROM reconciler.batch
    WHERE meter = %(meter)s AND state = 'held' AND held_for = 'closed period'
    ORDER BY id
    FOR UPDATE
)
UPDATE reconciler.batch
SET state = 'planned', held_for = NULL, answer = NULL, answered_at = NULL, rests_until = NULL
FROM ours
WHERE batch.id = ours.id
