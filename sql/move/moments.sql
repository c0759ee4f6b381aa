-- moments: when the events of a move count in Lago, and for whom, so that it can be told whether Lago still bills them.
--
-- Returns one row a subscription and timestamp (seconds, as text): how many events, their cost in USD, and whether they
--         take usage back.
WITH {misplaced}, half AS (
    SELECT subscription, stamp, cost, true AS takes_back FROM taken
    UNION ALL
    SELECT %(subscription)s::text, stamp, cost, false FROM taken
    UNION ALL
    SELECT %(subscription)s::text, stamp, cost, false FROM misplaced WHERE fate = 'redirect'
)
SELECT subscription, stamp, takes_back, count(*) AS events, sum(cost) AS cost
FROM half
GROUP BY subscription, stamp, takes_back
ORDER BY subscription, stamp, takes_back
