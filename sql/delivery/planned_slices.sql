-- planned_slices: how much of what a meter has planned, and Lago has not confirmed, lies in slices of subscriptions.
--
-- Reads   the meter's planned batches and their events. Arrays: a slice's subscription, its begin, and its end, exclusive.
--         An event lies in a slice by its timestamp, as Lago will have it.
-- Returns one row a slice with usage, by its number from 1 on: how many events, their cost, the first and the last window.
SELECT number,
       count(*) AS events,
       sum(cost) AS cost,
       min(window_start) AS first_window,
       max(window_start) AS last_window
FROM unnest(%(names)s::text[], %(slices_since)s::timestamptz[], %(slices_until)s::timestamptz[])
         WITH ORDINALITY AS slice (name, begins, ends, number)
     JOIN (SELECT subscription, window_start, event.cost,
                  to_timestamp(split_part(split_part(payload, ',"timestamp":"', 2), '"', 1)::float8) AS moment
           FROM reconciler.event JOIN reconciler.batch ON batch.id = event.batch
           WHERE batch.meter = %(meter)s AND batch.state = 'planned') AS planned
          ON subscription = name AND moment >= begins AND moment < ends
GROUP BY number
