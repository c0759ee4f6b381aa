-- claim: take the oldest events that nobody else is sending, for the time of a lease. Any number of senders may.
--
-- Reads   planned events of windows that Lago has been asked about, from a window on. A bucket's revisions go one
--         after the other, so that a conflict of one can hold those behind it. Where an open attempt must be read
--         back, an event waits until what may have been sent can be seen; one that failed alone rests.
-- Writes  the attempt, before the request: it is open until an answer closes it. A sender that dies leaves a lease
--         that ends, and an open attempt with the reason.
--
-- Both questions are subqueries of the row's own key, and the coalesce keeps the index of what is not accepted out of the
-- second: a ledger that has no statistics yet would else be joined with itself, row by row.
--
-- Returns key, payload and subscription of each, how often it was claimed, since when an earlier attempt is open, how
--         often it failed alone, whether a person has decided that it goes, the claim's mark (the moment of it), and
--         whether an earlier sender was lost.
UPDATE reconciler.event
SET attempts = event.attempts + 1,
    attempted_at = coalesce(event.attempted_at, clock_timestamp()),
    open_since = clock_timestamp(),
    leased_until = clock_timestamp() + %(lease)s::interval,
    failure = CASE WHEN event.leased_until IS NULL THEN event.failure
                   ELSE %(lost)s END
FROM (SELECT meter, window_start, bucket, revision, open_since, leased_until
      FROM reconciler.event
      WHERE meter = %(meter)s
        AND state = 'planned'
        AND window_start >= %(since)s
        AND (leased_until IS NULL OR leased_until < clock_timestamp())
        AND (rests_until IS NULL OR rests_until < clock_timestamp())
        AND (open_since IS NULL OR open_since <= clock_timestamp() - %(ask_after)s::interval)
        AND (SELECT asked_at FROM reconciler."window"
             WHERE "window".meter = event.meter AND "window".start = event.window_start) IS NOT NULL
        AND (revision = 0
             OR NOT EXISTS (SELECT FROM reconciler.event AS earlier
                            WHERE earlier.meter = event.meter
                              AND earlier.window_start = event.window_start
                              AND earlier.bucket = event.bucket
                              AND earlier.revision < event.revision
                              AND coalesce(earlier.state, '') = 'planned'))
      ORDER BY window_start
      LIMIT %(limit)s
      FOR UPDATE SKIP LOCKED) AS due
WHERE event.meter = due.meter
  AND event.window_start = due.window_start
  AND event.bucket = due.bucket
  AND event.revision = due.revision
RETURNING event.window_start, event.bucket, event.revision, event.payload, event.subscription,
          event.attempts, due.open_since, event.suspected, event.decided_at IS NOT NULL, event.open_since,
          due.leased_until IS NOT NULL
