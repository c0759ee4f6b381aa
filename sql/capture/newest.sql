-- newest: the start of the newest row, one step down the "startTime" index. Shows by which clock the proxy writes.
--
-- Returns one row, NULL if there is no row. What lies further ahead than any time zone is no local time.
SELECT max("startTime") AT TIME ZONE 'UTC' AS newest
FROM {spend_logs}
WHERE "startTime" >= timestamp '0001-01-01'
  AND "startTime" <= %(now)s::timestamptz AT TIME ZONE 'UTC' + interval '14 hours 15 minutes'
