-- twins: the meters that have billed from one source to one Lago.
--
-- Reads   reconciler.meter, reconciler.batch.
-- Returns their names.
SELECT name
FROM reconciler.meter
WHERE source = %(source)s
  AND lago = %(lago)s
  AND EXISTS (SELECT FROM reconciler.batch WHERE batch.meter = meter.name AND batch.state = 'accepted')
ORDER BY name
