-- oldest: the start of the oldest row, one step down the "startTime" index. Shows how far retention has come.
--
-- Returns one row, NULL if there is no row. What lies beyond a calendar's years lies in no window.
SELECT min("startTime") AT TIME ZONE 'UTC' AS oldest 
FROM {spend_logs}
WHERE "startTime" >= timestamp '0001-01-01' AND "startTime" < timestamp '9999-12-31'
