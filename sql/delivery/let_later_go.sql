-- let_later_go: what a conflict held behind quarantined events is planned again, now that a person decides about these.
WITH chosen AS (
    SELECT * FROM unnest(%(meters)s::text[], %(window_starts)s::timestamptz[], %(buckets)s::bytea[], %(revisions)s::int[])
                      AS key (meter, window_start, bucket, revision)
)
UPDATE reconciler.event AS later
SET state = 'planned', held_for = NULL
FROM chosen
WHERE later.meter = chosen.meter
  AND later.window_start = chosen.window_start
  AND later.bucket = chosen.bucket
  AND later.revision > chosen.revision
  AND later.state = 'held'
  AND later.held_for = 'conflict'
