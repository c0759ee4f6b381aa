-- found_unbilled: what this look keeps of whose usage is not billed.
--
-- Reads   customers, as unbilled_customers.sql returns it, and looked, as look_at_windows.sql does: where retention has
--         been, what is late is a window's.
-- Returns unbilled: rows of reconciler.unbilled but for the meter.
SELECT window_start, CASE why WHEN 'purged' THEN 'late' ELSE why END AS why, id, customer, buckets, requests, cost
FROM customers
WHERE why IN ('unmapped', 'frozen', 'suspect')
   OR (why = 'purged' AND window_start IN (SELECT start FROM looked WHERE late_rows > 0 OR late_cost > 0))
