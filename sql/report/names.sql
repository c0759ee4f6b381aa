-- names: customers with events of a meter from a window on, at most so many, for whoever has misspelt one.
--
-- Returns their names; long ones are left out.
SELECT DISTINCT customer
FROM reconciler.event
WHERE meter = %(meter)s AND window_start >= %(since)s AND length(customer) <= 200
LIMIT 10000
