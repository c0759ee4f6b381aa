-- oldest: the start of the oldest row, one step down the "startTime" index. Shows how far retention has come.
SELECT min("startTime") AT TIME ZONE 'UTC' AS oldest FROM {spend_logs}
