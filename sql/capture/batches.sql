-- batches: the batches that place.sql has made.
--
-- Reads   due.
-- Returns batch: one row a batch, with its new id and its sums.
SELECT nextval('reconciler.batch_id') AS batch, lot, place,
       bool_or(conflict) AS conflict,
       bool_or(under_way) AS behind,
       min(window_start) AS first_window,
       max(window_start) AS last_window,
       count(*) AS events,
       sum(input_tokens) AS input_tokens,
       sum(output_tokens) AS output_tokens,
       sum(requests) AS requests,
       sum(cost) AS cost
FROM due
GROUP BY lot, place
