-- asked: Lago has been asked about these windows: a batch of which all windows are asked about may go to the gate. Of a
-- window that was looked at while it was open, the part up to that instant is enough.
WITH ours AS (
    SELECT id
    FROM reconciler.batch
    WHERE meter = %(meter)s
      AND state = 'planned'
      AND asked_at IS NULL
      AND NOT EXISTS (SELECT FROM reconciler.event
                           JOIN reconciler."window" ON "window".meter = event.meter AND "window".start = event.window_start
                      WHERE event.batch = batch.id
                        AND "window".asked_at IS NULL
                        AND coalesce("window".asked_until <= "window".open_until, true))
    ORDER BY id
    FOR UPDATE
)
UPDATE reconciler.batch SET asked_at = clock_timestamp() FROM ours WHERE batch.id = ours.id
