-- record_batches: keeps the batches of a chunk, with the events that plan.sql adds.
--
-- Reads   batch, as batches.sql returns it.
-- Writes  reconciler.batch: planned, or held where an earlier event of the buckets is in conflict.
INSERT INTO reconciler.batch (id, meter, first_window, last_window, events,
                              input_tokens, output_tokens, requests, cost, behind, state, held_for)
SELECT batch, %(meter)s, first_window, last_window, events, input_tokens, output_tokens, requests, trim_scale(cost), behind,
       CASE WHEN conflict THEN 'held' ELSE 'planned' END,
       CASE WHEN conflict THEN 'conflict' END
FROM batch
