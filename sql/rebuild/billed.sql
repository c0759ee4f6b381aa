-- billed: how each window was billed, as the events that Lago holds show it.
--
-- Reads   the temp table held.
-- Returns window, length, charge-by and code, each combination once, in the order of windows.
SELECT DISTINCT window_start, window_seconds, charge_by, code
FROM pg_temp.held
ORDER BY window_start, window_seconds, charge_by, code
