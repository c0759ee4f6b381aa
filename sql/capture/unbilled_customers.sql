-- unbilled_customers: whose usage this look found that is not billed as it should be, and why.
--
-- Reads   delta, and the totals of suspect rows. What is planned, only of windows with usage that was unmapped before.
-- Returns customers: one row a window, customer and reason. A huge name is cut; its id is the hash of all of it.
--   unmapped  the mapping lacks the customer; cost is what is not billed
--   plan      the customer is not, or no longer, unmapped
--   frozen    cost is how much less there is than was billed
--   purged    the same where retention has been, of buckets with rows; cost is what is above billed all the same
--   suspect   what such rows cost says nothing: 0
SELECT window_start,
       sha256(convert_to(customer, 'UTF8')) AS id,
       why,
       left(customer, 1000) AS customer,
       count(*) AS buckets,
       sum(requests)::bigint AS requests,
       sum(cost) AS cost
FROM (SELECT window_start, customer, fate AS why,
             CASE fate WHEN 'purged' THEN rows ELSE abs(requests) END AS requests,
             CASE fate WHEN 'frozen' THEN greatest(-cost, 0) WHEN 'purged' THEN greatest(cost, 0) ELSE cost END AS cost
      FROM delta
      WHERE fate IN ('unmapped', 'frozen')
         OR (fate = 'purged' AND rows > 0)
         OR (fate = 'plan' AND window_start IN (SELECT window_start
                                                FROM reconciler.unbilled
                                                WHERE meter = %(meter)s
                                                  AND why = 'unmapped'
                                                  AND window_start >= %(since)s
                                                  AND window_start < %(until)s))
      UNION ALL
      SELECT window_start, customer, 'suspect', requests, 0
      FROM pg_temp.totals
      WHERE verdict = 'suspect') AS bucket
GROUP BY window_start, bucket.customer, why
