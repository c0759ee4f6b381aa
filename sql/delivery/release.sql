-- release: give claimed events back that have no answer, unless someone else has claimed them since.
--
-- Writes  the end of the lease. An event that may have been sent keeps its attempt open, with what was seen; of one
--         that certainly was not, the claim is undone, and an attempt that was open before stays so. A suspect rests.
UPDATE reconciler.event
SET leased_until = NULL,
    attempts = CASE WHEN sent THEN attempts ELSE attempts - 1 END,
    attempted_at = CASE WHEN sent OR attempts > 1 THEN attempted_at END,
    open_since = CASE WHEN sent THEN event.open_since ELSE claimed.open_since END,
    failure = coalesce(claimed.failure, event.failure),
    suspected = coalesce(claimed.suspected, event.suspected),
    rests_until = clock_timestamp() + claimed.rest
FROM unnest(%(window_starts)s::timestamptz[], %(buckets)s::bytea[], %(revisions)s::int[],
            %(claims)s::timestamptz[], %(sent)s::boolean[], %(open_since)s::timestamptz[], %(failures)s::text[],
            %(suspected)s::int[], %(rests)s::interval[])
         AS claimed (window_start, bucket, revision, mark, sent, open_since, failure, suspected, rest)
WHERE event.meter = %(meter)s
  AND event.window_start = claimed.window_start
  AND event.bucket = claimed.bucket
  AND event.revision = claimed.revision
  AND event.open_since = claimed.mark
  AND coalesce(event.state, '') = 'planned'
