-- crowds: how many events each window has, whatever their state. Tells what it costs to read a span of Lago's as a whole.
--
-- Returns one row a window in [since, until] with events.
SELECT window_start, count(*)
FROM reconciler.event
WHERE meter = %(meter)s AND window_start >= %(since)s AND window_start <= %(until)s
GROUP BY window_start
