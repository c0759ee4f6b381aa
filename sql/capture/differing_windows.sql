-- differing_windows: the windows whose row count is not the one that the ledger recorded. The probe's finding.
--
-- Reads   the temp table counts: what the source says; and the ledger's windows in [since, until).
-- Returns the starts of differing windows in scope: recorded ones, and any from the meter's start on.
SELECT coalesce(counts.window_start, recorded.start) AS start
FROM pg_temp.counts
     FULL JOIN (SELECT start, rows
                FROM reconciler."window"
                WHERE meter = %(meter)s AND start >= %(since)s AND start < %(until)s) AS recorded
          ON recorded.start = counts.window_start
WHERE counts.rows IS DISTINCT FROM nullif(recorded.rows, 0)
  AND (recorded.start IS NOT NULL OR counts.window_start >= %(scope)s)
ORDER BY 1
