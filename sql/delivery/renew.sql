-- renew: keep claimed events for another lease, from before the next request on.
--
-- Writes  the lease and since when the attempt is open, which is the claim's mark. What someone else has claimed since,
--         because the lease had ended, has another mark and is left alone.
-- Returns the keys of those that are still ours, with the new mark.
UPDATE reconciler.event
SET leased_until = clock_timestamp() + %(lease)s::interval,
    open_since = clock_timestamp()
FROM unnest(%(window_starts)s::timestamptz[], %(buckets)s::bytea[], %(revisions)s::int[],
            %(claims)s::timestamptz[])
         AS claimed (window_start, bucket, revision, mark)
WHERE event.meter = %(meter)s
  AND event.window_start = claimed.window_start
  AND event.bucket = claimed.bucket
  AND event.revision = claimed.revision
  AND event.open_since = claimed.mark
  AND coalesce(event.state, '') = 'planned'
RETURNING event.window_start, event.bucket, event.revision, event.open_since
