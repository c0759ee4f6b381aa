-- settle: record what Lago answered to events that a sender had claimed.
--
-- Writes  their state, the end of the lease, and of the attempt if Lago has accepted; Lago's words where it refused, and why an earlier try
--         went without an answer. An event that is settled already (its lease had ended and another sender was
--         quicker) stays as it is; one that a conflict held while it was on its way is accepted if Lago took it.
UPDATE reconciler.event
SET state = %(state)s,
    conflict = %(conflict)s,
    held_for = %(held_for)s,
    answer = %(answer)s,
    answered_at = clock_timestamp(),
    leased_until = NULL,
    open_since = CASE WHEN %(state)s <> 'accepted' THEN event.open_since END,
    failure = coalesce(answered.failure, event.failure)
FROM unnest(%(window_starts)s::timestamptz[], %(buckets)s::bytea[], %(revisions)s::int[],
            %(failures)s::text[])
         AS answered (window_start, bucket, revision, failure)
WHERE event.meter = %(meter)s
  AND event.window_start = answered.window_start
  AND event.bucket = answered.bucket
  AND event.revision = answered.revision
  AND (coalesce(event.state, '') = 'planned'
       OR (event.state = 'held' AND event.held_for = 'conflict' AND %(state)s = 'accepted'))
