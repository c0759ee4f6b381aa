-- note_place: where the ledger lies now. Who plans has the meter's row meanwhile: then the next pass notes it. It is not
-- written anew in each pass.
UPDATE reconciler.meter
SET place = %(place)s, placed_at = clock_timestamp()
FROM (SELECT name FROM reconciler.meter WHERE name = %(meter)s FOR UPDATE SKIP LOCKED) AS free
WHERE meter.name = free.name
  AND (place IS DISTINCT FROM %(place)s OR placed_at IS NULL OR placed_at < clock_timestamp() - %(good_for)s::interval / 12)
