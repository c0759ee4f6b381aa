-- foreseen: what a pass would plan in [since, until), by subscription.
--
-- Reads   what differs (compared.sql): run it where that is undone. Arrays of subscriptions and moments, if they are not
--         NULL, leave only the usage of these subscriptions whose events are older than that.
-- Returns one row a subscription: how many events, their cost, the first and the last window.
WITH {compared}, bound AS MATERIALIZED (
    SELECT subscription, moment
    FROM unnest(%(subscriptions)s::text[], %(moments)s::timestamptz[]) AS given (subscription, moment)
)
SELECT delta.subscription,
       count(*) AS events,
       sum(cost) AS cost,
       min(window_start) AS first_window,
       max(window_start) AS last_window
FROM delta LEFT JOIN bound ON bound.subscription = delta.subscription
WHERE fate = 'plan'
  AND (%(subscriptions)s::text[] IS NULL OR window_start + %(length)s::interval <= bound.moment)
GROUP BY delta.subscription
