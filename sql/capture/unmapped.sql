-- unmapped: the customers of [since, until) that the mapping lacks, as it is now.
--
-- Reads   what differs (compared.sql): run it where that is undone.
-- Returns one row a customer: a hash of its name, the name, cut if it is long, and its usage that is not billed.
WITH {compared}
SELECT sha256(convert_to(customer, 'UTF8')) AS id,
       CASE WHEN length(customer) <= 200 THEN customer
            ELSE concat(left(customer, 200), '… (', length(customer), ' characters)') END AS customer,
       count(*) AS buckets,
       sum(requests)::bigint AS requests,
       sum(cost) AS cost,
       min(window_start) AS first_window,
       max(window_start) AS last_window
FROM delta
WHERE fate = 'unmapped'
GROUP BY customer
