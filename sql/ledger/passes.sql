-- passes: how the passes over a meter have gone of late.
--
-- Reads   reconciler.run, what has begun since the last pass that did its work, and the meter.
-- Returns one row: the ledger's clock; how far the watermark is behind the newest window that has ended; how old the
--         meter is; when the last pass began; since when passes have failed, how many and the last one's words; since
--         when each has found another one running, and how many; since when one has begun and not finished. What has
--         not been is NULL.
--
-- A pass that got no turn may have waited for one that hangs, so that it is no sign of life.
WITH good AS MATERIALIZED (
    SELECT started_at, finished_at
    FROM reconciler.run
    WHERE meter = %(meter)s AND outcome IN ('done', 'stopped')
    ORDER BY started_at DESC
    LIMIT 1
), since AS MATERIALIZED (
    SELECT started_at, finished_at, outcome
    FROM reconciler.run
    WHERE meter = %(meter)s
      -- One that began before the last good one and ended after it is a day old at most.
      AND started_at > coalesce((SELECT started_at FROM good) - interval '1 day', '-infinity')
      AND coalesce(finished_at, started_at) > coalesce((SELECT finished_at FROM good), '-infinity')
), failed AS (
    SELECT min(started_at) AS failed_since,
           count(*) AS failures,
           (array_agg(substr(outcome, 9) ORDER BY started_at DESC))[1] AS failure
    FROM since
    WHERE outcome LIKE 'failed: %%'
), skipped AS (
    SELECT min(started_at) AS skipped_since,
           count(*) AS skips
    FROM since
    WHERE outcome = 'skipped'
      AND started_at > coalesce((SELECT max(started_at) FROM since WHERE outcome LIKE 'failed: %%'), '-infinity')
), unfinished AS (
    SELECT min(started_at) AS unfinished_since
    FROM since
    WHERE finished_at IS NULL
      AND started_at > coalesce((SELECT max(finished_at) FROM since WHERE outcome <> 'skipped'),
                                (SELECT finished_at FROM good), '-infinity')
)
SELECT clock_timestamp() AS now,
       watermark,
       clock_timestamp() - watermark - (SELECT window_seconds * interval '1 second'
                                        FROM reconciler.terms
                                        WHERE terms.meter = meter.name
                                        ORDER BY since DESC
                                        LIMIT 1) AS lag,
       clock_timestamp() - created_at AS age,
       coalesce((SELECT max(started_at) FROM reconciler.run WHERE run.meter = meter.name), created_at) AS begun_at,
       failed.*, skipped.*, unfinished.*
FROM reconciler.meter, failed, skipped, unfinished
WHERE meter.name = %(meter)s
