-- give_back: a batch has no answer and waits for its next turn. Unless another sender has taken it since.
--
-- Writes  the end of the lease, what was seen, and whether the attempt stays open: what was certainly not stored leaves
--         the attempt before it as it was. After a failure in vain also how often it failed, how much proves that it is
--         poison, and until when it rests.
-- Returns how many other batches have failed in vain since Lago last accepted one: many mean that Lago is away. What
--         fails alone again and again says nothing of that.
UPDATE reconciler.batch
SET leased_until = NULL,
    open_since = CASE WHEN %(stored)s THEN clock_timestamp() ELSE %(opened_before)s END,
    failure = %(failure)s,
    failures = failures + %(failed)s::int,
    failed_at = CASE WHEN %(failed)s THEN clock_timestamp() ELSE failed_at END,
    proof = %(proof)s,
    rests_until = clock_timestamp() + %(rest)s::interval
WHERE id = %(id)s AND attempts = %(attempt)s AND state = 'planned'
RETURNING (SELECT count(*)
           FROM reconciler.batch AS other
           WHERE other.state = 'planned'
             AND other.meter = batch.meter
             AND other.id <> batch.id
             AND other.failures BETWEEN 1 AND %(tries)s - 1
             AND other.failed_at > coalesce((SELECT max(accepted.answered_at)
                                             FROM reconciler.batch AS accepted
                                                  JOIN reconciler.meter ON meter.name = accepted.meter
                                             WHERE accepted.state = 'accepted' AND meter.lago = %(lago)s),
                                            '-infinity')) AS others_in_vain
