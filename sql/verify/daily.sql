-- daily: what LiteLLM's daily table of customers says of one day (UTC) beside the spend table.
--
-- Reads   the daily table, and the spend table by its "startTime" index. Usage without a customer is left out of both.
-- Returns one row without a customer, the sums of the day; then one row for each of the customers that differ most, by more
--         than a thousandth.
WITH kept AS (
    SELECT {entity}::text COLLATE "C" AS customer, sum(spend::text::numeric) AS cost
    FROM {daily}
    WHERE "date" = %(day)s AND {entity} <> '' AND spend >= 0 AND spend < 'Infinity'
    GROUP BY 1
), logged AS (
    SELECT {customer}::text COLLATE "C" AS customer, sum(spend::text::numeric) AS cost
    FROM {spend_logs}
    WHERE "startTime" >= %(day)s::timestamp AND "startTime" < %(day)s::timestamp + interval '1 day'
      AND {customer} <> '' AND spend >= 0 AND spend < 'Infinity'
    GROUP BY 1
), compared AS (
    SELECT customer, coalesce(kept.cost, 0) AS kept, coalesce(logged.cost, 0) AS logged
    FROM kept FULL JOIN logged USING (customer)
)
SELECT NULL AS customer, coalesce(sum(kept), 0) AS kept, coalesce(sum(logged), 0) AS logged
FROM compared
UNION ALL
(SELECT left(customer, 200), kept, logged
 FROM compared
 WHERE abs(kept - logged) > greatest(0.000000001, 0.001 * greatest(kept, logged))
 ORDER BY abs(kept - logged) DESC
 LIMIT %(most)s)
