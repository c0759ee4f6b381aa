-- twins: which meters there are, each with the first window that is in its scope.
--
-- Reads   reconciler.meter, and the windows that were looked at: some may have been backfilled before the start.
-- Returns name and moment, in the order of names.
SELECT name,
       least(start, (SELECT min("window".start) FROM reconciler."window" WHERE "window".meter = meter.name)) AS since
FROM reconciler.meter
ORDER BY name
