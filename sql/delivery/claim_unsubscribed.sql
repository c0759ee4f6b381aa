-- claim_unsubscribed: some of whom nobody knew a subscription when their usage was sent, those asked for longest ago. Also
-- what is asked for in vain goes behind the others.
--
-- Reads   reconciler.unsubscribed, but for what another pass is about to ask for.
-- Writes  when they are asked for.
-- Returns the external ids.
WITH ours AS (
    SELECT meter, id
    FROM reconciler.unsubscribed
    WHERE meter = %(meter)s AND asked_at < %(before)s
    ORDER BY asked_at
    LIMIT %(most)s
    FOR UPDATE SKIP LOCKED
)
UPDATE reconciler.unsubscribed
SET asked_at = %(now)s
FROM ours
WHERE unsubscribed.meter = ours.meter AND unsubscribed.id = ours.id
RETURNING external_id
