-- standing: how a meter stands. What a summary, the alarms and the status are made of.
--
-- Reads   the events that are not accepted, by their index, and the windows looked at.
-- Returns one row.
SELECT delivery.*, left_unbilled.*, unattributed.*, silence.silent, meter.purge_mark
FROM reconciler.meter,
     (SELECT count(*) FILTER (WHERE state = 'planned') AS planned_events,
             coalesce(sum(cost) FILTER (WHERE state = 'planned'), 0) AS planned_cost,
             count(*) FILTER (WHERE state = 'quarantined') AS quarantined_events,
             coalesce(sum(cost) FILTER (WHERE state = 'quarantined'), 0) AS quarantined_cost,
             count(*) FILTER (WHERE state = 'quarantined' AND conflict) AS conflicting_events,
             count(*) FILTER (WHERE state = 'held') AS held_events,
             coalesce(sum(cost) FILTER (WHERE state = 'held'), 0) AS held_cost,
             count(*) FILTER (WHERE state = 'discarded') AS discarded_events,
             coalesce(sum(cost) FILTER (WHERE state = 'discarded'), 0) AS discarded_cost
      FROM reconciler.event
      WHERE meter = %(meter)s AND state <> 'accepted') AS delivery,
     -- What can't be billed stays in view for all time, for no look comes to windows older than the horizon again.
     -- What retention has reached is no longer compared: a bucket frozen there is so no more.
     (SELECT coalesce(sum(frozen_buckets) FILTER (WHERE compared), 0)::bigint AS frozen_buckets,
             coalesce(sum(frozen_cost) FILTER (WHERE compared), 0) AS frozen_cost,
             coalesce(sum(unmapped_buckets), 0)::bigint AS unmapped_buckets,
             coalesce(sum(unmapped_cost), 0) AS unmapped_cost,
             min(start) FILTER (WHERE unmapped_buckets > 0) AS unmapped_since,
             coalesce(sum(suspect_rows), 0)::bigint AS suspect_rows,
             coalesce(sum(late_rows), 0)::bigint AS late_rows,
             coalesce(sum(late_cost), 0) AS late_cost
      FROM (SELECT "window".*, "window".start > coalesce(purge_mark, '-infinity') AS compared
            FROM reconciler."window" JOIN reconciler.meter ON meter.name = "window".meter
            WHERE "window".meter = %(meter)s
              AND (frozen_buckets > 0 OR unmapped_buckets > 0 OR suspect_rows > 0
                   OR late_rows > 0 OR late_cost > 0)) AS window_left
     ) AS left_unbilled,
     (SELECT coalesce(sum(unattributed_rows), 0)::bigint AS unattributed_rows,
             coalesce(sum(unattributed_cost), 0) AS unattributed_cost
      FROM reconciler."window"
      WHERE meter = %(meter)s AND start >= %(horizon)s) AS unattributed,
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
