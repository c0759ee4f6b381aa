-- settle: record what Lago answered to events that a sender had claimed.
--
-- Writes  their state, the end of the lease, and of the attempt: of what Lago has accepted none stays open, of what was
--         certainly not stored the one before, if that was. Lago's words where it refused, and why an earlier try went
--         without an answer. What Lago has accepted is accepted, whatever was thought of
--         it meanwhile. Anything else is for the sender to say whose claim it is: an event whose lease had ended, and
--         which someone else has claimed since, stays as it is.
UPDATE reconciler.event
SET state = %(state)s,
    conflict = %(conflict)s,
    held_for = %(held_for)s,
    answer = %(answer)s,
    answered_at = clock_timestamp(),
    leased_until = NULL,
    open_since = CASE WHEN %(state)s = 'accepted' THEN NULL
                      WHEN answered.sent THEN event.open_since
                      ELSE answered.open_since END,
    failure = coalesce(answered.failure, event.failure)
FROM unnest(%(window_starts)s::timestamptz[], %(buckets)s::bytea[], %(revisions)s::int[],
            %(claims)s::timestamptz[], %(sent)s::boolean[], %(open_since)s::timestamptz[], %(failures)s::text[])
         AS answered (window_start, bucket, revision, mark, sent, open_since, failure)
WHERE event.meter = %(meter)s
  AND event.window_start = answered.window_start
  AND event.bucket = answered.bucket
  AND event.revision = answered.revision
  AND CASE WHEN %(state)s = 'accepted' THEN event.state IN ('planned', 'quarantined', 'held')
           ELSE event.open_since = answered.mark AND coalesce(event.state, '') = 'planned' END
