-- balance/unsubscribed: a meter's usage that was sent and has no subscription yet, and whose it is.
--
-- Reads   what Lago was asked about, the meter's part.
-- Returns one row.
SELECT coalesce(sum(events), 0)::bigint AS unsubscribed_events,
       coalesce(sum(cost), 0) AS unsubscribed_cost,
       count(*) AS unsubscribed_number,
       coalesce(array_agg(left(external_id, 100) ORDER BY cost DESC) FILTER (WHERE place <= 3), '{}') AS unsubscribed_names,
       coalesce(array_agg(cost ORDER BY cost DESC) FILTER (WHERE place <= 3), '{}') AS unsubscribed_costs,
       min(first_window) AS unsubscribed_since,
       count(began_at) AS unsubscribed_too_early,
       clock_timestamp() - min(noted_at) AS unsubscribed_for
FROM (SELECT *, row_number() OVER (ORDER BY cost DESC) AS place
      FROM reconciler.unsubscribed
      WHERE meter = %(meter)s) AS waiting
