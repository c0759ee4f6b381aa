-- record_batches: keeps the batches of a move, with the events that plan.sql adds, and who decided it and why.
--
-- Reads   batch, as sql/capture/batches.sql returns it.
-- Writes  reconciler.batch: decided when it was planned, so that the gate judges it like any other.
INSERT INTO reconciler.batch (id, meter, first_window, last_window, events, input_tokens, output_tokens, requests, cost,
                              behind, planned_at, decided_at, decided_by, reason)
SELECT batch, %(meter)s, first_window, last_window, events, input_tokens, output_tokens, requests, trim_scale(cost),
       behind, statement_timestamp(), statement_timestamp(), %(by)s, %(reason)s
FROM batch
