-- balance/delivery: what is planned, stuck or given up of a meter's events.
--
-- Reads   the batches that are not accepted, by their index; the events of those that cost most.
-- Returns one row.
SELECT delivery.*, most_stuck.*
FROM (SELECT coalesce(sum(events) FILTER (WHERE state = 'planned'), 0)::bigint AS planned_events,
             coalesce(sum(cost) FILTER (WHERE state = 'planned'), 0) AS planned_cost,
             min(greatest(planned_at, repaired_at)) FILTER (WHERE state = 'planned') AS planned_since,
             clock_timestamp() - min(greatest(planned_at, repaired_at)) FILTER (WHERE state = 'planned') AS planned_for,
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
     -- Whose usage waits or is stuck, those with the most first, and why the last of it is. A million events are not summed by
     -- subscription for a sentence: of each fate the thirty batches that cost most must do.
     (SELECT coalesce(bool_or(in_part) FILTER (WHERE fate <> 'planned'), false) AS stuck_in_part,
             coalesce(bool_or(in_part) FILTER (WHERE fate = 'planned'), false) AS planned_in_part,
             coalesce(array_agg(name ORDER BY cost DESC) FILTER (WHERE fate = 'planned'), '{}') AS planned_names,
             coalesce(array_agg(cost ORDER BY cost DESC) FILTER (WHERE fate = 'planned'), '{}') AS planned_costs,
             coalesce(array_agg(name ORDER BY cost DESC) FILTER (WHERE fate = 'held'), '{}') AS held_names,
             coalesce(array_agg(cost ORDER BY cost DESC) FILTER (WHERE fate = 'held'), '{}') AS held_costs,
             (array_agg(answer ORDER BY cost DESC) FILTER (WHERE fate = 'held' AND answer IS NOT NULL))[1] AS held_answer,
             coalesce(array_agg(name ORDER BY cost DESC) FILTER (WHERE fate = 'quarantined'), '{}') AS quarantined_names,
             coalesce(array_agg(cost ORDER BY cost DESC) FILTER (WHERE fate = 'quarantined'), '{}') AS quarantined_costs,
             (array_agg(answer ORDER BY cost DESC) FILTER (WHERE fate = 'quarantined'))[1] AS quarantined_answer,
             coalesce(array_agg(name ORDER BY cost DESC) FILTER (WHERE fate = 'conflict'), '{}') AS conflicting_names,
             coalesce(array_agg(cost ORDER BY cost DESC) FILTER (WHERE fate = 'conflict'), '{}') AS conflicting_costs
      FROM (SELECT fate,
                   left(subscription, 100) AS name,
                   sum(event.cost) AS cost,
                   left(max(answer), 300) AS answer,
                   bool_or(costliest.number > 30) AS in_part,
                   row_number() OVER (PARTITION BY fate ORDER BY abs(sum(event.cost)) DESC) AS place
            FROM (VALUES ('planned', 'planned', NULL),
                         ('held', 'held', NULL),
                         ('quarantined', 'quarantined', false),
                         ('conflict', 'quarantined', true)) AS kind (fate, state, conflict)
                 CROSS JOIN LATERAL (SELECT id, answer, count(*) OVER () AS number
                                     FROM reconciler.batch
                                     WHERE meter = %(meter)s AND state <> 'accepted' AND state = kind.state
                                       AND (kind.conflict IS NULL OR batch.conflict = kind.conflict)
                                     ORDER BY abs(cost) DESC
                                     LIMIT 30) AS costliest
                 JOIN reconciler.event ON event.batch = costliest.id
            GROUP BY fate, subscription) AS stuck
      WHERE place <= 3) AS most_stuck
