-- differences: what the spend table says beside what is billed, per day (UTC), and per customer where they differ.
--
-- Reads   the temp table totals: what the source says; what differs, and the purge mark as it would be now
--         (compared.sql): run it where that is undone.
-- Returns one row a day without a fate: billable usage; then for each day and fate the differences, source - billed, once
--         in all (no customer) and once for each of the customers that differ most. Fates are those of compare.sql, and:
--   next          what would be planned, in windows that every pass looks at: the next pass bills it
--   unattributed  usage without a customer
--   suspect       rows with negative, NaN or infinite spend, or negative tokens; without their cost
WITH {compared}, difference AS (
    SELECT (window_start AT TIME ZONE 'UTC')::date AS day, left(customer, 200) AS customer, requests, cost,
           CASE WHEN fate = 'plan' AND window_start >= %(fresh_since)s THEN 'next' ELSE fate END AS fate
    FROM delta
    UNION ALL
    SELECT (window_start AT TIME ZONE 'UTC')::date, NULL, requests, CASE verdict WHEN 'suspect' THEN 0 ELSE cost END, verdict
    FROM pg_temp.totals
    WHERE verdict IN ('unattributed', 'suspect')
), summed AS (
    SELECT day, customer, fate, count(*) AS buckets, sum(requests)::bigint AS requests, sum(cost) AS cost
    FROM difference
    GROUP BY GROUPING SETS ((day, fate), (day, fate, customer))
    HAVING grouping(customer) = 1 OR customer IS NOT NULL
    ORDER BY grouping(customer) DESC, abs(sum(cost)) DESC
    LIMIT %(most)s
)
SELECT (window_start AT TIME ZONE 'UTC')::date AS day, NULL::text AS customer, NULL::text AS fate,
       0::bigint AS buckets, sum(requests)::bigint AS requests, sum(cost) AS cost
FROM pg_temp.totals
WHERE verdict IN ('billable', 'unpriced')
GROUP BY 1
UNION ALL
SELECT day, customer, fate, buckets, requests, cost FROM summed
