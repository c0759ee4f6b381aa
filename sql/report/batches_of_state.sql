-- batches_of_state: the batches of one state after a number, at most so many, for a decision about all of their events.
--
-- Reads   the batches that are not accepted, by their index; of one meter or of all (NULL), held for one reason or any.
-- Returns one row a batch, in the order of their numbers.
SELECT id, meter, attempts, events, cost, held_for, conflict, answer
FROM reconciler.batch
WHERE state = %(state)s
  AND state <> 'accepted'
  AND (%(meter)s::text IS NULL OR meter = %(meter)s::text)
  AND (%(held_for)s::text IS NULL OR held_for = %(held_for)s::text)
  AND id > %(after)s
ORDER BY id
LIMIT 1000
