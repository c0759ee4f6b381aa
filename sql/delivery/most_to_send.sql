-- most_to_send: the subscriptions with the most events to send about which Lago was never asked.
--
-- Reads   planned batches that may not go to the gate yet, and their events.
-- Returns one row each: the subscription; those that a question can name, at most %(most)s, most events first.
SELECT event.subscription
FROM reconciler.batch
     JOIN reconciler.event ON event.batch = batch.id
WHERE batch.meter = %(meter)s
  AND batch.state = 'planned'
  AND batch.asked_at IS NULL
  AND length(event.subscription) BETWEEN 1 AND 500
GROUP BY event.subscription
ORDER BY count(*) DESC, event.subscription
LIMIT %(most)s
