-- left: how a stretch of the spend table and what is billed of it differ, once Lago's events are in the ledger.
--
-- Reads   what differs, and the purge mark as it would be now (compared.sql): run it where that is undone.
-- Returns for each fate of compare.sql the number of buckets, the USD, the first window and a subscription of it; and as
--         misnamed where a customer's usage of a window is billed to the last decimal, but to other models than these terms
--         name.
WITH {compared}, misnamed AS (
    SELECT window_start, customer
    FROM delta
    WHERE fate <> 'purged'
    GROUP BY window_start, customer
    HAVING count(*) > 1
       AND (sum(input_tokens), sum(output_tokens), sum(cost), sum(requests)) = (0, 0, 0, 0)
)
SELECT fate, count(*) AS buckets, sum(cost) AS cost, min(window_start) AS first_window,
       (array_agg(subscription ORDER BY window_start, subscription))[1] AS subscription
FROM delta
GROUP BY fate
UNION ALL
SELECT 'misnamed', count(*), 0, min(window_start), NULL
FROM misnamed
HAVING count(*) > 0
