-- runs: how regularly the passes over a meter begin.
--
-- Reads   reconciler.run, the last day of it.
-- Returns one row: how many have begun in the last day; when the last one did, whenever that was, and how it ended, NULL
--         if it has not; the usual time between two of them, and the longest. What has not been is NULL.
WITH begun AS (
    SELECT started_at, started_at - lag(started_at) OVER (ORDER BY started_at) AS apart
    FROM reconciler.run
    WHERE meter = %(meter)s AND started_at > clock_timestamp() - interval '1 day'
), last AS (
    SELECT started_at, outcome
    FROM reconciler.run
    WHERE meter = %(meter)s
    ORDER BY started_at DESC
    LIMIT 1
)
SELECT (SELECT count(*) FROM begun)::integer AS number,
       (SELECT started_at FROM last) AS last_at,
       (SELECT outcome FROM last) AS outcome,
       (SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY apart) FROM begun) AS usually,
       (SELECT max(apart) FROM begun) AS longest
