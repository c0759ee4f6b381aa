-- foreseen: what a pass would plan in [since, until), by subscription and model.
--
-- Reads   what differs (compared.sql): run it where that is undone.
-- Returns one row a subscription and model: how many events, their cost and tokens, the first and the last window.
WITH {compared}
SELECT subscription,
       model,
       count(*) AS events,
       sum(cost) AS cost,
       sum(input_tokens)::bigint AS input_tokens,
       sum(output_tokens)::bigint AS output_tokens,
       min(window_start) AS first_window,
       max(window_start) AS last_window
FROM delta
WHERE fate = 'plan'
GROUP BY subscription, model
