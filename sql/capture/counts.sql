-- counts: how many rows each window holds, index-only over the existing "startTime" index. The hourly probe.
--
-- Reads   "LiteLLM_SpendLogs" in [since, until).
-- Returns window_start, rows; windows without rows are absent.
SELECT window_start AT TIME ZONE 'UTC' AS window_start, rows
FROM (SELECT date_bin(%(length)s::interval, "startTime", timestamp '2000-01-01') AS window_start, count(*) AS rows
      FROM {spend_logs}
      WHERE "startTime" >= %(since)s::timestamptz AT TIME ZONE 'UTC'
        AND "startTime" < %(until)s::timestamptz AT TIME ZONE 'UTC'
      GROUP BY 1) AS counted
