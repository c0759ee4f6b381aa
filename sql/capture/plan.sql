-- plan: each delta that may be billed becomes one event, its id and payload text frozen here and never changed.
--
-- Reads   due, as place.sql returns it, and batch, as batches.sql does. An event counts in the last millisecond of its
--         window (windows.stamped), unless it is said otherwise.
-- Writes  reconciler.event.
--
-- The id is "r1_" + hex of SHA-256 over length-prefixed UTF-8 (docs/event-ids.md). Text that many events share (a
-- customer, a model, a window) is prepared once. In the order of windows, so that the indexes grow page by page.
WITH customers AS MATERIALIZED (
    SELECT customer,
           subscription,
           octet_length(convert_to(customer, 'UTF8')) || ':' || customer AS framed,
           concat('","', %(event_field)s::text, '":', to_json(subscription),
                  ',"code":', to_json(%(code)s::text)) AS subscribed,
           concat(',"customer":', to_json(customer), ',"meter":', to_json(%(meter)s::text)) AS named
    FROM (SELECT DISTINCT customer, subscription FROM due) AS customer_of_due
), models AS MATERIALIZED (
    SELECT model,
           octet_length(convert_to(model, 'UTF8')) || ':' || model AS framed,
           concat(',"model":', to_json(model), ',"response_cost":"') AS named
    FROM (SELECT DISTINCT model FROM due) AS model_of_due
), windows AS MATERIALIZED (
    SELECT window_start,
           concat(%(framed_meter)s::text, '20:', moment, octet_length(seconds), ':', seconds) AS framed,
           concat(',"timestamp":"', extract(epoch FROM window_start)::bigint + seconds::bigint - 1, '.999"') AS stamped,
           concat(',"window":"', moment, '/', %(iso_length)s::text, '","revision":') AS named
    FROM (SELECT window_start,
                 to_char(window_start AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS moment,
                 %(window_seconds)s::text AS seconds
          FROM (SELECT DISTINCT window_start FROM due) AS window_of_due) AS named_window
)
INSERT INTO reconciler.event (meter, window_start, bucket, revision, batch, customer, model,
                              input_tokens, output_tokens, cost, requests, subscription, payload)
SELECT %(meter)s,
       window_start,
       sha256(convert_to(customers.framed || models.framed, 'UTF8')),
       revision,
       batch,
       customer,
       model,
       input_tokens,
       output_tokens,
       trim_scale(cost),
       requests,
       subscription,
       concat('{{"transaction_id":"r1_',
              encode(sha256(convert_to(concat(windows.framed, customers.framed, models.framed,
                                              octet_length(revision::text), ':', revision), 'UTF8')), 'hex'),
              customers.subscribed,
              {stamped},
              CASE WHEN %(precise_cents)s THEN concat(',"precise_total_amount_cents":"', trim_scale(cost * 100), '"') END,
              ',"properties":{{',
              CASE WHEN %(properties)s::text <> 'callback'
                   THEN concat('"input_tokens":', input_tokens, ',"output_tokens":', output_tokens) END,
              CASE WHEN %(properties)s::text = 'both' THEN ',' END,
              CASE WHEN %(properties)s::text <> 'documented'
                   THEN concat('"prompt_tokens":', input_tokens, ',"completion_tokens":', output_tokens,
                               ',"total_tokens":', input_tokens + output_tokens) END,
              models.named, trim_scale(cost), '","requests":', requests,
              customers.named, windows.named, revision, '}}}}')
FROM due
     JOIN (SELECT lot, place, batch FROM batch) AS placed USING (lot, place)
     JOIN customers USING (customer, subscription)
     JOIN models USING (model)
     JOIN windows USING (window_start)
