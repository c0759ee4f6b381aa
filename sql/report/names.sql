-- names: customers of whom a meter has billed something from a window on, at most so many, for whoever has misspelt one.
--
-- Returns their names; long ones are left out.
SELECT customer
FROM (SELECT customer FROM reconciler.event WHERE meter = %(meter)s AND window_start >= %(since)s
      UNION
      SELECT customer FROM reconciler.takeover WHERE meter = %(meter)s AND window_start >= %(since)s) AS billed
WHERE length(customer) <= 200
LIMIT 10000
