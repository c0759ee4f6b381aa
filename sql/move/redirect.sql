-- redirect: lets the events of these batches, which Lago never had, go to another subscription.
--
-- Writes  their subscription, and its name in their payloads: from here on they are frozen again. Their batches are as if
--         they had been planned when it was decided: the gate judges them anew.
--
-- The id has 67 characters, and the field behind it names the subscription (plan.sql).
WITH ours AS (
    UPDATE reconciler.batch
    SET planned_at = decided_at,
        asked_at = NULL,
        admitted_at = NULL,
        subscribers_seen = false,
        behind = true
    WHERE id = ANY(%(batches)s)
    RETURNING id
)
UPDATE reconciler.event
SET subscription = %(subscription)s::text,
    payload = concat(left(payload, start),
                     to_json(%(subscription)s::text),
                     substr(payload, start + length(to_json(event.subscription)::text) + 1))
FROM (SELECT meter, window_start, bucket, revision, 86 + strpos(substr(payload, 87), '":') + 1 AS start
      FROM ours JOIN reconciler.event ON event.batch = ours.id) AS place
WHERE event.meter = place.meter
  AND event.window_start = place.window_start
  AND event.bucket = place.bucket
  AND event.revision = place.revision
