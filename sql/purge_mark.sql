-- purge_mark: while the oldest row lies in a window and the ledger counted rows before that window, retention has
-- come this far. The mark never moves back.
--
-- Writes  reconciler.meter.purge_mark. Returns the mark, or NULL.
UPDATE reconciler.meter
SET purge_mark = %(oldest_window)s
WHERE name = %(meter)s
  AND (purge_mark IS NULL OR purge_mark < %(oldest_window)s)
  AND EXISTS (SELECT FROM reconciler."window"
              WHERE "window".meter = %(meter)s
                AND "window".start >= coalesce(purge_mark, '-infinity')
                AND "window".start < %(oldest_window)s
                AND "window".rows > 0)
RETURNING purge_mark, watermark
