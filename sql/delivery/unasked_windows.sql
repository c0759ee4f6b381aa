-- unasked_windows: windows with events to send about which Lago has never been asked, or not to their end.
--
-- Returns the start of each, and up to where it was asked about.
SELECT DISTINCT event.window_start, "window".asked_until
FROM reconciler.batch
     JOIN reconciler.event ON event.batch = batch.id
     JOIN reconciler."window" ON "window".meter = event.meter AND "window".start = event.window_start
WHERE batch.meter = %(meter)s
  AND batch.state = 'planned'
  AND batch.asked_at IS NULL
  AND "window".asked_at IS NULL
ORDER BY event.window_start
