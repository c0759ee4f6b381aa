-- see_subscribed: takes note of the subscriptions that customers have now who had none when their usage was sent.
--
-- Reads   the mirror, as far as it was asked since.
-- Writes  reconciler.unsubscribed: who has one that reaches back to the first of the usage goes; of one that began later
--         the begin is kept, since what was used before is in no bill.
WITH mirror AS MATERIALIZED (
    SELECT waiting.id,
           min(told.asked_at) AS asked_at,
           min(told.started_at) FILTER (WHERE told.status <> 'none') AS began_at,
           min(told.started_at) FILTER (WHERE told.status <> 'none')
               < min(waiting.first_window) + (SELECT window_seconds * interval '1 second'
                                              FROM reconciler.terms
                                              WHERE terms.meter = %(meter)s
                                              ORDER BY since DESC
                                              LIMIT 1) AS reaches_back
    FROM (SELECT id, first_window FROM reconciler.unsubscribed
          WHERE meter = %(meter)s
          ORDER BY id
          FOR UPDATE) AS waiting
         JOIN reconciler.subscription AS told ON told.id = waiting.id
    GROUP BY waiting.id
), gone AS (
    DELETE FROM reconciler.unsubscribed
    USING mirror
    WHERE unsubscribed.meter = %(meter)s AND unsubscribed.id = mirror.id AND mirror.reaches_back
)
UPDATE reconciler.unsubscribed
SET asked_at = greatest(unsubscribed.asked_at, mirror.asked_at), began_at = mirror.began_at
FROM mirror
WHERE unsubscribed.meter = %(meter)s
  AND unsubscribed.id = mirror.id
  AND NOT coalesce(mirror.reaches_back, false)
  AND (unsubscribed.asked_at < mirror.asked_at OR unsubscribed.began_at IS DISTINCT FROM mirror.began_at)
