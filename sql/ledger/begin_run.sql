-- begin_run: a pass over a meter has begun.
--
-- Writes  reconciler.run.
-- Returns the warnings of the last pass before it that ended and did look, as JSON; NULL if there was none.
INSERT INTO reconciler.run (id, meter)
VALUES (%(id)s, %(meter)s)
RETURNING (SELECT summary -> 'warnings'
           FROM reconciler.run AS last
           WHERE last.meter = %(meter)s AND finished_at IS NOT NULL AND outcome <> 'skipped'
           ORDER BY started_at DESC
           LIMIT 1)
