-- ask_again: when to ask again for held events that an invoice may still come for: with the next pass, later the less
-- often, up to hourly.
UPDATE reconciler.batch
SET rests_until = clock_timestamp() + least((clock_timestamp() - answered_at) / 4, interval '1 hour')
WHERE id = ANY(%(batches)s::bigint[]) AND state = 'held'
