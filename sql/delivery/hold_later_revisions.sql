-- hold_later_revisions: a bucket with an event in conflict sends nothing more until a person has decided.
UPDATE reconciler.event AS later
SET state = 'held', held_for = 'conflict'
FROM reconciler.event AS conflicting
WHERE conflicting.meter = %(meter)s
  AND conflicting.window_start = %(window_start)s
  AND conflicting.bucket = %(bucket)s
  AND conflicting.conflict
  AND later.meter = conflicting.meter
  AND later.window_start = conflicting.window_start
  AND later.bucket = conflicting.bucket
  AND later.revision > conflicting.revision
  AND later.state = 'planned'
