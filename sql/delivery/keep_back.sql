-- keep_back: planned batches wait, whatever the gate has said of them before.
WITH ours AS (
    SELECT id FROM reconciler.batch
    WHERE id = ANY(%(batches)s::bigint[]) AND state = 'planned'
    ORDER BY id
    FOR UPDATE
)
UPDATE reconciler.batch SET admitted_at = NULL FROM ours WHERE batch.id = ours.id
