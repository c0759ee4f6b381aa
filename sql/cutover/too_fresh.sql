-- too_fresh: the rows of a cut-over whose events may not be in Lago yet: those without one that have ended lately, or that may
-- still run, as far as anybody can tell.
--
-- Reads   the temp tables requests and matched: rows with windows in [since, until) that this meter bills.
-- Returns how many there are, and when the last of them ends.
SELECT count(*), max(ended_at)
FROM pg_temp.requests LEFT JOIN pg_temp.matched USING (window_start, number)
WHERE matched.number IS NULL
  AND verdict IN ('billable', 'unpriced')
  AND window_start >= %(since)s
  AND window_start < %(until)s
  AND ended_at > %(fresh_since)s
