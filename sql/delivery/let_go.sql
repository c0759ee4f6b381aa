-- let_go: what was held for a closed period is planned again, as the settings say that all of it is sent.
UPDATE reconciler.batch
SET state = 'planned', held_for = NULL, answer = NULL, answered_at = NULL, rests_until = NULL
WHERE meter = %(meter)s AND state = 'held' AND held_for = 'closed period'
