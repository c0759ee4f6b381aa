-- balance/source: what the passes of a meter saw of its source.
--
-- Reads   the windows looked at, of the horizon and of the same hours a week ago, and the runs of a day.
-- Returns one row.
SELECT unpriced.*, arrived.*, silence.silent, meter.purge_mark,
       CASE WHEN source_clock IS NOT NULL AND newest_row IS NULL AND purge_mark IS NULL
                 AND NOT EXISTS (SELECT FROM reconciler.event WHERE event.meter = %(meter)s)
            THEN clock_timestamp() - created_at END AS empty_for
FROM reconciler.meter,
     (SELECT coalesce(sum(unpriced_rows), 0)::bigint AS unpriced_rows,
             coalesce(sum(unpriced_tokens), 0)::bigint AS unpriced_tokens,
             (SELECT coalesce(array_agg(model ORDER BY windows DESC, model), '{}')
              FROM (SELECT model, count(*) AS windows
                    FROM reconciler."window", unnest(unpriced_models) AS model
                    WHERE meter = %(meter)s AND start >= %(horizon)s AND unpriced_rows > 0
                    GROUP BY model
                    ORDER BY windows DESC
                    LIMIT 1000) AS unpriced_model) AS unpriced_models
      FROM reconciler."window"
      WHERE meter = %(meter)s AND start >= %(horizon)s AND unpriced_rows > 0) AS unpriced,
     -- What the passes of a day saw of the newest row: the last one's; how often it was another one than the pass before
     -- saw; and how far it lay behind then, at least, in all cases and in one: behind the clock of the pass before, which
     -- did not see it yet.
     (SELECT (array_agg(source_clock ORDER BY started_at DESC))[1] AS source_clock,
             (array_agg(newest_row ORDER BY started_at DESC))[1] AS newest_row,
             count(*) FILTER (WHERE newest_row > newest_before) AS arrivals,
             min(clock_before - newest_row) FILTER (WHERE newest_row > newest_before) AS late_by,
             max(clock_before - newest_row) FILTER (WHERE newest_row > newest_before) AS latest_by,
             min(source_clock - newest_row) FILTER (WHERE newest_row > newest_before) AS nearest
      FROM (SELECT started_at, source_clock, newest_row,
                   lag(source_clock) OVER earlier AS clock_before, lag(newest_row) OVER earlier AS newest_before
            FROM reconciler.run
            WHERE meter = %(meter)s
              AND started_at >= clock_timestamp() - interval '1 day'
              AND source_clock IS NOT NULL
            WINDOW earlier AS (ORDER BY started_at)) AS seen) AS arrived,
     -- A source with no rows for three hours, where the same hours of last week had some.
     (SELECT coalesce(sum(rows) FILTER (WHERE "window".start >= watermark - interval '3 hours'), 0) = 0
             AND count(*) FILTER (WHERE "window".start >= watermark - interval '3 hours') > 0
             AND coalesce(sum(rows) FILTER (WHERE "window".start < watermark - interval '7 days'), 0) > 0 AS silent
      FROM reconciler."window" JOIN reconciler.meter ON meter.name = "window".meter
      WHERE "window".meter = %(meter)s
        AND ("window".start >= watermark - interval '3 hours'
             OR ("window".start >= watermark - interval '7 days 3 hours'
                 AND "window".start < watermark - interval '7 days'))) AS silence
WHERE meter.name = %(meter)s
