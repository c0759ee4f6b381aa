-- end_run: how a pass over a meter has ended. Those of long ago (keep) are forgotten.
--
-- Writes  reconciler.run.
WITH old AS (
    DELETE FROM reconciler.run WHERE meter = %(meter)s AND started_at < clock_timestamp() - %(keep)s::interval
)
UPDATE reconciler.run
SET finished_at = clock_timestamp(), outcome = %(outcome)s, summary = %(summary)s
WHERE id = %(id)s
