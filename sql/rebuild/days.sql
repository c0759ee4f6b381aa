-- days: the days (UTC) of the events that Lago holds.
--
-- Reads   the temp table held.
-- Returns the begin of each day, in order.
SELECT DISTINCT date_bin('1 day', window_start, timestamptz '1970-01-01Z') AS day FROM pg_temp.held ORDER BY day
