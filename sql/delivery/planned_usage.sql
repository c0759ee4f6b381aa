-- planned_usage: what a meter has planned and Lago has not confirmed yet, by subscription and model.
--
-- Reads   the meter's planned batches and their events.
-- Returns one row a subscription and model: how many events, their cost and tokens, the first and the last window.
SELECT subscription,
       model,
       count(*) AS events,
       sum(event.cost) AS cost,
       sum(event.input_tokens)::bigint AS input_tokens,
       sum(event.output_tokens)::bigint AS output_tokens,
       min(window_start) AS first_window,
       max(window_start) AS last_window
FROM reconciler.event JOIN reconciler.batch ON batch.id = event.batch
WHERE batch.meter = %(meter)s AND batch.state = 'planned'
GROUP BY subscription, model
