-- retry: quarantined events are planned again, as a person has decided; their ids and bytes stay as they are.
--
-- Writes  their state; the attempt before stays open, if one is: Lago may have the event after all. What was held
--         behind them waits for them, since a bucket's revisions go one after the other.
WITH chosen AS (
    SELECT * FROM unnest(%(meters)s::text[], %(window_starts)s::timestamptz[], %(buckets)s::bytea[], %(revisions)s::int[])
                      AS key (meter, window_start, bucket, revision)
)
UPDATE reconciler.event
SET state = 'planned', conflict = false, answer = NULL, answered_at = NULL, attempts = 0, attempted_at = NULL,
    suspected = 0, rests_until = NULL, decided_at = clock_timestamp()
FROM chosen
WHERE event.meter = chosen.meter
  AND event.window_start = chosen.window_start
  AND event.bucket = chosen.bucket
  AND event.revision = chosen.revision
  AND event.state = 'quarantined'
