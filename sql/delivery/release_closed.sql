-- release_closed: what was held because its billing period is closed goes on, now that the settings say so.
UPDATE reconciler.event
SET state = 'planned', held_for = NULL, answer = NULL, attempts = 0, attempted_at = NULL
WHERE meter = %(meter)s
  AND state = 'held'
  AND held_for = 'closed period'
