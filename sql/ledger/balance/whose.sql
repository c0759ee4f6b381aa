-- balance/whose: whose usage of a meter is not billed as it should be.
--
-- Reads   what looks have seen of it. Where retention has been, nothing is frozen any more.
-- Returns one row a reason: how many customers that is, and the first three, those with the most cost first.
SELECT why,
       count(*) AS number,
       (array_agg(customer ORDER BY place))[1:3] AS customers,
       (array_agg(requests ORDER BY place))[1:3] AS requests,
       (array_agg(cost ORDER BY place))[1:3] AS costs
FROM (SELECT why, left(min(customer), 100) AS customer, sum(unbilled.requests)::bigint AS requests, sum(unbilled.cost) AS cost,
             row_number() OVER (PARTITION BY why ORDER BY sum(unbilled.cost) DESC, sum(unbilled.requests) DESC, id) AS place
      FROM reconciler.unbilled JOIN reconciler.meter ON meter.name = unbilled.meter
      WHERE unbilled.meter = %(meter)s
        AND (why <> 'frozen' OR window_start > coalesce(purge_mark, '-infinity'))
      GROUP BY why, id) AS customer_of_meter
GROUP BY why
