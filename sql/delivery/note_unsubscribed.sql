-- note_unsubscribed: notes whose usage is about to go to Lago although it has no subscription of theirs.
--
-- Reads   planned batches that are admitted for the first time since the mirror knows their subscriptions, and the
--         mirror. Each batch is seen once: admit.sql, in the same transaction, notes that.
-- Writes  reconciler.unsubscribed. Events that take usage back are no usage: who planned them has noted what is gone.
--
-- Locks in the order of ids, as admit.sql does. The OFFSETs make it a look-up by key.
WITH ours AS MATERIALIZED (
    SELECT id
    FROM reconciler.batch
    WHERE meter = %(meter)s
      AND state = 'planned'
      AND asked_at IS NOT NULL
      AND NOT subscribers_seen
      AND NOT id = ANY(%(kept_back)s::bigint[])
    ORDER BY id
    FOR UPDATE
), used AS MATERIALIZED (
    SELECT subscription,
           count(*) AS events,
           sum(cost) AS cost,
           min(window_start) AS first_window,
           max(window_start) AS last_window
    FROM ours,
         LATERAL (SELECT subscription, cost, window_start FROM reconciler.event
                  WHERE event.batch = ours.id AND least(input_tokens, output_tokens, cost, requests) >= 0
                  OFFSET 0) AS planned
    GROUP BY subscription
)
INSERT INTO reconciler.unsubscribed AS known (
    meter, id, external_id, events, cost, first_window, last_window, asked_at)
SELECT %(meter)s, mirror.id, subscription, events, cost, first_window, last_window, mirror.asked_at
FROM used,
     LATERAL (SELECT id, min(asked_at) AS asked_at
              FROM reconciler.subscription
              WHERE id = sha256(convert_to(%(key)s::text || used.subscription, 'UTF8'))
              GROUP BY id
              HAVING bool_and(status = 'none')
              OFFSET 0) AS mirror
ORDER BY mirror.id
ON CONFLICT (meter, id) DO UPDATE
SET events = known.events + excluded.events,
    cost = known.cost + excluded.cost,
    first_window = least(known.first_window, excluded.first_window),
    last_window = greatest(known.last_window, excluded.last_window),
    asked_at = greatest(known.asked_at, excluded.asked_at)
