-- discard: quarantined events are given up, with a person's reason. They stay in the ledger and count as billed, so
-- that nothing plans the same usage again. What was held behind them goes on: Lago's event stands for this one.
WITH chosen AS (
    SELECT * FROM unnest(%(meters)s::text[], %(window_starts)s::timestamptz[], %(buckets)s::bytea[], %(revisions)s::int[])
                      AS key (meter, window_start, bucket, revision)
)
UPDATE reconciler.event
SET state = 'discarded', conflict = false, reason = %(reason)s, decided_at = clock_timestamp()
FROM chosen
WHERE event.meter = chosen.meter
  AND event.window_start = chosen.window_start
  AND event.bucket = chosen.bucket
  AND event.revision = chosen.revision
  AND event.state = 'quarantined'
