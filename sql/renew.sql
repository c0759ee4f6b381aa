-- renew: keep claimed events for another lease, from before the next request on.
--
-- Writes  the lease and since when the attempt is open. Returns the keys that are still planned.
UPDATE reconciler.event
SET leased_until = clock_timestamp() + %(lease)s::interval,
    open_since = clock_timestamp()
FROM unnest(%(window_starts)s::timestamptz[], %(buckets)s::bytea[], %(revisions)s::int[])
         AS claimed (window_start, bucket, revision)
WHERE event.meter = %(meter)s
  AND event.window_start = claimed.window_start
  AND event.bucket = claimed.bucket
  AND event.revision = claimed.revision
  AND event.state = 'planned'
RETURNING event.window_start, event.bucket, event.revision
