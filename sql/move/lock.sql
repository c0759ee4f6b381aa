-- lock: keeps senders and decisions from a customer's events of the windows in [since, until) until the transaction ends.
--
-- Locks in the order of ids, as all that changes several batches does.
SELECT id
FROM reconciler.batch
WHERE state NOT IN ('accepted', 'discarded')
  AND id IN (SELECT batch FROM reconciler.event
             WHERE event.meter = %(meter)s
               AND window_start >= %(since)s
               AND window_start < %(until)s
               AND customer = %(customer)s)
ORDER BY id
FOR UPDATE
