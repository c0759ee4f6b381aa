-- admit: what is planned may be sent for now, as far as the gate has seen it. A batch that rests there is passed over.
--
-- Whether the mirror of subscriptions was asked (key) is noted: see note_unsubscribed.sql. A long backlog is not written
-- in each pass: what was admitted a while ago at most (good_for) still is.
--
-- Locks in the order of ids, as all that changes several batches does: so passes at once can't lock each other out.
WITH ours AS (
    SELECT id
    FROM reconciler.batch
    WHERE meter = %(meter)s
      AND state = 'planned'
      AND asked_at IS NOT NULL
      AND NOT id = ANY(%(kept_back)s::bigint[])
      AND (admitted_at IS NULL
           OR admitted_at < clock_timestamp() - %(good_for)s::interval
           OR (NOT subscribers_seen AND %(key)s::text IS NOT NULL))
    ORDER BY id
    FOR UPDATE
)
UPDATE reconciler.batch
SET admitted_at = clock_timestamp(), subscribers_seen = subscribers_seen OR %(key)s::text IS NOT NULL
FROM ours
WHERE batch.id = ours.id
