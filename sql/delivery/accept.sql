-- accept: Lago has all events of a batch. No row comes back if another sender has taken it since, because the lease had
-- ended; then nothing is changed.
UPDATE reconciler.batch
SET state = 'accepted', answered_at = clock_timestamp(), leased_until = NULL, open_since = NULL, rests_until = NULL
WHERE id = %(id)s AND attempts = %(attempt)s AND state = 'planned'
RETURNING id
