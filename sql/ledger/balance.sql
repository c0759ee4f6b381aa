-- balance: how a meter stands. What a summary, the alarms and the status are made of.
--
-- Reads   the batches that are not accepted, by their index, the windows looked at, the credits, and the passes
--         of a day.
-- Returns one row.
SELECT delivery.*, most_stuck.*, left_unbilled.*, most_unmapped.*, unsubscribed.*, credited.*, unattributed.*,
       unpriced.*, silence.silent, meter.purge_mark,
       arrived.*,
       CASE WHEN source_clock IS NOT NULL AND newest_row IS NULL AND purge_mark IS NULL
                 AND NOT EXISTS (SELECT FROM reconciler.event WHERE event.meter = %(meter)s)
            THEN clock_timestamp() - created_at END AS empty_for
FROM reconciler.meter,
     (SELECT coalesce(sum(events) FILTER (WHERE state = 'planned'), 0)::bigint AS planned_events,
             coalesce(sum(cost) FILTER (WHERE state = 'planned'), 0) AS planned_cost,
             min(planned_at) FILTER (WHERE state = 'planned') AS planned_since,
             clock_timestamp() - min(planned_at) FILTER (WHERE state = 'planned') AS planned_for,
             (array_agg(failure ORDER BY attempted_at DESC NULLS LAST)
                  FILTER (WHERE state = 'planned' AND failure IS NOT NULL))[1] AS planned_failure,
             coalesce(sum(events) FILTER (WHERE state = 'quarantined'), 0)::bigint AS quarantined_events,
             coalesce(sum(cost) FILTER (WHERE state = 'quarantined'), 0) AS quarantined_cost,
             coalesce(sum(events) FILTER (WHERE state = 'quarantined' AND conflict), 0)::bigint AS conflicting_events,
             coalesce(sum(cost) FILTER (WHERE state = 'quarantined' AND conflict), 0) AS conflicting_cost,
             coalesce(sum(events) FILTER (WHERE state = 'held'), 0)::bigint AS held_events,
             coalesce(sum(cost) FILTER (WHERE state = 'held'), 0) AS held_cost,
             coalesce(sum(events) FILTER (WHERE state = 'discarded'), 0)::bigint AS discarded_events,
             coalesce(sum(cost) FILTER (WHERE state = 'discarded'), 0) AS discarded_cost
      FROM reconciler.batch
      WHERE meter = %(meter)s AND state <> 'accepted') AS delivery,
     -- Whose usage is stuck, those with the most first, and why the last of it is.
     (SELECT coalesce(array_agg(name ORDER BY cost DESC) FILTER (WHERE fate = 'held'), '{}') AS held_names,
             coalesce(array_agg(cost ORDER BY cost DESC) FILTER (WHERE fate = 'held'), '{}') AS held_costs,
             (array_agg(answer ORDER BY cost DESC) FILTER (WHERE fate = 'held' AND answer IS NOT NULL))[1] AS held_answer,
             coalesce(array_agg(name ORDER BY cost DESC) FILTER (WHERE fate = 'quarantined'), '{}') AS quarantined_names,
             coalesce(array_agg(cost ORDER BY cost DESC) FILTER (WHERE fate = 'quarantined'), '{}') AS quarantined_costs,
             (array_agg(answer ORDER BY cost DESC) FILTER (WHERE fate = 'quarantined'))[1] AS quarantined_answer,
             coalesce(array_agg(name ORDER BY cost DESC) FILTER (WHERE fate = 'conflict'), '{}') AS conflicting_names,
             coalesce(array_agg(cost ORDER BY cost DESC) FILTER (WHERE fate = 'conflict'), '{}') AS conflicting_costs
      FROM (SELECT CASE WHEN conflict AND state = 'quarantined' THEN 'conflict' ELSE state END AS fate,
                   left(subscription, 100) AS name,
                   sum(event.cost) AS cost,
                   left(max(batch.answer), 300) AS answer,
                   row_number() OVER (PARTITION BY CASE WHEN conflict AND state = 'quarantined' THEN 'conflict' ELSE state END
                                      ORDER BY sum(event.cost) DESC) AS place
            FROM reconciler.batch JOIN reconciler.event ON event.batch = batch.id
            WHERE batch.meter = %(meter)s AND state IN ('held', 'quarantined')
            GROUP BY 1, subscription) AS stuck
      WHERE place <= 3) AS most_stuck,
     -- What can't be billed stays in view for all time, for no look comes to windows older than the horizon again.
     -- What is missing in windows that retention has reached is its doing: a bucket frozen there is so no more.
     (SELECT coalesce(sum(frozen_buckets) FILTER (WHERE is_left), 0)::bigint AS frozen_buckets,
             coalesce(sum(frozen_cost) FILTER (WHERE is_left), 0) AS frozen_cost,
             coalesce(sum(unmapped_buckets), 0)::bigint AS unmapped_buckets,
             coalesce(sum(unmapped_cost), 0) AS unmapped_cost,
             min(start) FILTER (WHERE unmapped_buckets > 0) AS unmapped_since,
             coalesce(sum(suspect_rows), 0)::bigint AS suspect_rows,
             coalesce(sum(late_rows), 0)::bigint AS late_rows,
             coalesce(sum(late_cost), 0) AS late_cost
      FROM (SELECT "window".*, "window".start > coalesce(purge_mark, '-infinity') AS is_left
            FROM reconciler."window" JOIN reconciler.meter ON meter.name = "window".meter
            WHERE "window".meter = %(meter)s
              AND (frozen_buckets > 0 OR unmapped_buckets > 0 OR suspect_rows > 0
                   OR late_rows > 0 OR late_cost > 0)) AS window_left
     ) AS left_unbilled,
     -- Whose usage is unmapped, those with the most first.
     (SELECT coalesce(array_agg(left(customer, 100) ORDER BY cost DESC) FILTER (WHERE place <= 3), '{}') AS unmapped_customers,
             coalesce(array_agg(cost ORDER BY cost DESC) FILTER (WHERE place <= 3), '{}') AS unmapped_costs,
             count(*) AS unmapped_number
      FROM (SELECT min(customer) AS customer, sum(cost) AS cost, row_number() OVER (ORDER BY sum(cost) DESC) AS place
            FROM reconciler.unmapped
            WHERE meter = %(meter)s
            GROUP BY id) AS unmapped) AS most_unmapped,
     -- Usage that was sent and has no subscription yet; whose it is, those with the most first.
     (SELECT coalesce(sum(events), 0)::bigint AS unsubscribed_events,
             coalesce(sum(cost), 0) AS unsubscribed_cost,
             count(*) AS unsubscribed_number,
             coalesce(array_agg(left(external_id, 100) ORDER BY cost DESC) FILTER (WHERE place <= 3), '{}') AS unsubscribed_names,
             coalesce(array_agg(cost ORDER BY cost DESC) FILTER (WHERE place <= 3), '{}') AS unsubscribed_costs,
             min(first_window) AS unsubscribed_since,
             count(began_at) AS unsubscribed_too_early,
             clock_timestamp() - min(noted_at) AS unsubscribed_for,
             coalesce(min(asked_at) < clock_timestamp() - interval '10 minutes', false) AS unsubscribed_due
      FROM (SELECT *, row_number() OVER (ORDER BY cost DESC) AS place
            FROM reconciler.unsubscribed
            WHERE meter = %(meter)s) AS waiting) AS unsubscribed,
     -- What a person has credited in Lago by hand: taken off what is billed.
     (SELECT count(*) AS credited_buckets,
             coalesce(sum(cost), 0) AS credited_cost
      FROM reconciler.credit
      WHERE meter = %(meter)s AND undone_at IS NULL) AS credited,
     (SELECT coalesce(sum(unattributed_rows), 0)::bigint AS unattributed_rows,
             coalesce(sum(unattributed_cost), 0) AS unattributed_cost
      FROM reconciler."window"
      WHERE meter = %(meter)s AND start >= %(horizon)s) AS unattributed,
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
     -- saw; and how far it lay behind then, at least: behind the clock of the pass before, which did not see it yet.
     (SELECT (array_agg(source_clock ORDER BY started_at DESC))[1] AS source_clock,
             (array_agg(newest_row ORDER BY started_at DESC))[1] AS newest_row,
             count(*) FILTER (WHERE newest_row > newest_before) AS arrivals,
             min(clock_before - newest_row) FILTER (WHERE newest_row > newest_before) AS late_by,
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
