-- admit: what is planned may be sent for now, as far as the gate has seen it. A batch that rests there is passed over.
--
-- Whether the mirror of subscriptions was asked (key) is noted: see note_unsubscribed.sql.
--
-- Locks in the order of ids, as all that changes several batches does: so passes at once can't lock each other out.
WITH ours AS (
    SELECT id
    FROM reconciler.batch
    WHERE meter = %(meter)s
      AND state = 'planned'
      AND asked_at IS NOT NULL
      AND NOT id = ANY(%(kept_back)s::bigint[])
    ORDER BY id
    FOR UPDATE
)
UPDATE reconciler.batch
SET admitted_at = clock_timestamp(), subscribers_seen = subscribers_seen OR %(key)s::text IS NOT NULL
FROM ours
WHERE batch.id = ours.id
