-- lines: what there is to move of a customer, by day (UTC), model, subscription and fate (misplaced.sql).
--
-- Returns one row each, oldest day first, those that stay with why: how many events it is about, and their usage. Long
--         names are cut and say so.
WITH {misplaced}, entry AS (
    SELECT window_start, model, subscription, 'compensate' AS fate, '' AS why,
           events, input_tokens, output_tokens, cost, requests
    FROM taken
    UNION ALL
    SELECT window_start, model, subscription, fate, '', 1, input_tokens, output_tokens, cost, requests
    FROM misplaced
    WHERE fate = 'redirect'
    UNION ALL
    SELECT window_start, model, subscription, 'stay', why, count(*) FILTER (WHERE NOT takes_back),
           sum(input_tokens), sum(output_tokens), sum(cost), sum(requests)
    FROM misplaced
    WHERE fate = 'stay'
    GROUP BY window_start, bucket, model, subscription, why
    HAVING greatest(sum(input_tokens), sum(output_tokens), sum(cost), sum(requests)) > 0
)
SELECT day,
       CASE WHEN length(model) <= 200 THEN model
            ELSE concat(left(model, 200), '… (', length(model), ' characters)') END AS model,
       CASE WHEN length(subscription) <= 200 THEN subscription
            ELSE concat(left(subscription, 200), '… (', length(subscription), ' characters)') END AS subscription,
       fate, why, events, input_tokens, output_tokens, cost, requests
FROM (SELECT (window_start AT TIME ZONE 'UTC')::date AS day, model, subscription, fate, why,
             sum(events)::bigint AS events,
             sum(input_tokens)::bigint AS input_tokens,
             sum(output_tokens)::bigint AS output_tokens,
             sum(cost) AS cost,
             sum(requests)::bigint AS requests
      FROM entry
      GROUP BY 1, 2, 3, 4, 5) AS line
ORDER BY day, model, subscription, fate, why
