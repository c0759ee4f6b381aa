-- balance/unbilled: a meter's usage that can't be billed, what a person has credited, what LiteLLM's callback has billed.
--
-- Reads   the windows looked at, by the index of those that have some; the credits, what was taken over. What is unattributed counts from %(horizon)s on.
-- Returns one row.
SELECT left_unbilled.*, credited.*, taken.*, unattributed.*
FROM -- What can't be billed stays in view for all time, for no look comes to windows older than the horizon again.
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
     -- What a person has credited in Lago by hand: taken off what is billed.
     (SELECT count(*) AS credited_buckets,
             coalesce(sum(cost), 0) AS credited_cost
      FROM reconciler.credit
      WHERE meter = %(meter)s AND undone_at IS NULL) AS credited,
     (SELECT coalesce(sum(requests), 0)::bigint AS taken_over_requests,
             coalesce(sum(cost), 0) AS taken_over_cost
      FROM reconciler.takeover
      WHERE meter = %(meter)s) AS taken,
     (SELECT coalesce(sum(unattributed_rows), 0)::bigint AS unattributed_rows,
             coalesce(sum(unattributed_cost), 0) AS unattributed_cost
      FROM reconciler."window"
      WHERE meter = %(meter)s AND start >= %(horizon)s) AS unattributed
