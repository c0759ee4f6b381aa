-- purge_mark: while the oldest row lies in a window and the ledger counted rows before that window, retention has
-- come this far. The mark never moves back.
--
-- Reads   the start of the oldest row, whose window has the length that was agreed for its time.
-- Writes  reconciler.meter.purge_mark. Returns the mark and the watermark if it has moved.
UPDATE reconciler.meter
SET purge_mark = oldest.window_start
FROM (SELECT date_bin(make_interval(secs => window_seconds), start, timestamptz '1970-01-01 00:00Z') AS window_start
      FROM (SELECT %(oldest)s::timestamptz) AS oldest (start) JOIN reconciler.terms ON since <= start
      WHERE meter = %(meter)s
      ORDER BY since DESC
      LIMIT 1) AS oldest
WHERE name = %(meter)s
  AND (purge_mark IS NULL OR purge_mark < oldest.window_start)
  AND EXISTS (SELECT FROM reconciler."window"
              WHERE "window".meter = %(meter)s
                AND "window".start >= coalesce(purge_mark, '-infinity')
                AND "window".start < oldest.window_start
                AND "window".rows > 0)
RETURNING purge_mark, watermark
