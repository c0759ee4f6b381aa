-- purge_mark: while the oldest row lies in a window and the ledger counted rows before that window, retention has
-- come this far: at most to the newest settled window, or, if no row is left, to where passes had come. The mark never
-- moves back.
--
-- Reads   the start of the oldest row from the first counted window on (counted.sql, oldest.sql), and the terms: a window
--         has the length that was agreed for its time.
-- Writes  reconciler.meter.purge_mark. Returns the mark and the watermark if it has moved.
UPDATE reconciler.meter
SET purge_mark = reached.window_start
FROM (SELECT date_bin(make_interval(secs => window_seconds), moment, timestamptz '1970-01-01 00:00Z') AS window_start
      FROM (SELECT least(coalesce(%(oldest)s::timestamptz, watermark - interval '1 microsecond'),
                         %(settled)s::timestamptz - interval '1 microsecond') AS moment
            FROM reconciler.meter
            WHERE name = %(meter)s) AS place
           JOIN reconciler.terms ON since <= moment
      WHERE meter = %(meter)s
      ORDER BY since DESC
      LIMIT 1) AS reached
WHERE name = %(meter)s
  AND (purge_mark IS NULL OR purge_mark < window_start)
  AND (%(counted)s::timestamptz < window_start
       OR (%(counted)s::timestamptz = window_start
           AND coalesce(%(oldest)s::timestamptz >= %(settled)s::timestamptz, true)))
RETURNING purge_mark, watermark
