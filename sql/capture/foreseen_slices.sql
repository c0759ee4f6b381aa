-- foreseen_slices: how much of what a pass would plan in [since, until) lies in each of some slices of subscriptions.
--
-- Reads   what differs (compared.sql): run it where that is undone. Arrays: a slice's subscription, its begin, and its
--         end, exclusive. An event lies in a slice by its timestamp, the last millisecond of its window.
-- Returns one row a slice with usage, by its number from 1 on: how many events, their cost, the first and the last window.
WITH {compared}
SELECT number,
       count(*) AS events,
       sum(cost) AS cost,
       min(window_start) AS first_window,
       max(window_start) AS last_window
FROM unnest(%(names)s::text[], %(slices_since)s::timestamptz[], %(slices_until)s::timestamptz[])
         WITH ORDINALITY AS slice (name, begins, ends, number)
     JOIN delta ON subscription = name
               AND window_start + %(length)s::interval > begins
               AND window_start + %(length)s::interval <= ends
WHERE fate = 'plan'
GROUP BY number
