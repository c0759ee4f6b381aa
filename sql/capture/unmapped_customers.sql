-- unmapped_customers: whose usage this look found without a subscription, and who has got one.
--
-- Reads   delta: what is planned, only of windows with usage that was unmapped before.
-- Returns customers: one row a window, customer and fate (unmapped or plan). A huge name is cut; its id is the hash of
--         all of it.
SELECT window_start,
       sha256(convert_to(customer, 'UTF8')) AS id,
       fate,
       left(customer, 1000) AS customer,
       count(*) AS buckets,
       sum(requests)::bigint AS requests,
       sum(cost) AS cost
FROM delta
WHERE fate = 'unmapped'
   OR (fate = 'plan' AND window_start IN (SELECT window_start
                                          FROM reconciler.unmapped
                                          WHERE meter = %(meter)s
                                            AND window_start >= %(since)s
                                            AND window_start < %(until)s))
GROUP BY window_start, delta.customer, fate
