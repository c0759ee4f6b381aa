-- keep_back: planned batches wait, whatever the gate has said of them before.
UPDATE reconciler.batch SET admitted_at = NULL WHERE id = ANY(%(batches)s::bigint[]) AND state = 'planned'
