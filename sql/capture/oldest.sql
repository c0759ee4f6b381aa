-- oldest: the start of the oldest row of those not in the future, one step down the "startTime" index.
--
-- Reads   the rows that start from a moment on. What lies beyond a calendar's years lies in no window.
-- Returns one row, NULL if there is no such row.
SELECT min("startTime") AT TIME ZONE 'UTC' AS oldest
FROM {spend_logs}
WHERE "startTime" >= %(oldest_from)s::timestamptz AT TIME ZONE 'UTC'
  AND "startTime" <= statement_timestamp() AT TIME ZONE 'UTC'
