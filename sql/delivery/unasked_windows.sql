-- unasked_windows: windows with events to send about which Lago has never been asked, or not to their end.
--
-- Reads   planned batches that may not go to the gate yet. Of a window that was looked at while it was open, only the part
--         up to that instant matters.
-- Returns the start of each, up to where it was asked about, and that instant.
SELECT DISTINCT event.window_start, "window".asked_until, "window".open_until
FROM reconciler.batch
     JOIN reconciler.event ON event.batch = batch.id
     JOIN reconciler."window" ON "window".meter = event.meter AND "window".start = event.window_start
WHERE batch.meter = %(meter)s
  AND batch.state = 'planned'
  AND batch.asked_at IS NULL
  AND "window".asked_at IS NULL
  AND coalesce("window".asked_until <= "window".open_until, true)
ORDER BY event.window_start
