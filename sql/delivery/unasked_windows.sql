-- unasked_windows: windows with events to send about which Lago has never been asked.
SELECT start
FROM reconciler."window"
WHERE meter = %(meter)s
  AND asked_at IS NULL
  AND start IN (SELECT window_start FROM reconciler.event WHERE meter = %(meter)s AND state = 'planned')
ORDER BY start
