-- forget_unsubscribed: what is moved no longer waits for a subscription of the name that it went to.
--
-- Writes  reconciler.unsubscribed.
WITH {misplaced}, gone AS MATERIALIZED (
    SELECT subscription, sum(events) AS events, sum(cost) AS cost
    FROM (SELECT subscription, events, cost FROM taken
          UNION ALL
          SELECT subscription, 1, cost FROM misplaced WHERE fate = 'redirect' AND was_noted) AS part
    GROUP BY subscription
), ours AS MATERIALIZED (
    SELECT known.id, known.events <= gone.events AS is_all, gone.events, gone.cost
    FROM reconciler.unsubscribed AS known JOIN gone ON gone.subscription = known.external_id
    WHERE known.meter = %(meter)s
    ORDER BY known.id
    FOR UPDATE OF known
), forgotten AS (
    DELETE FROM reconciler.unsubscribed AS known
    USING ours
    WHERE known.meter = %(meter)s AND known.id = ours.id AND is_all
)
UPDATE reconciler.unsubscribed AS known
SET events = known.events - ours.events, cost = trim_scale(known.cost - ours.cost)
FROM ours
WHERE known.meter = %(meter)s AND known.id = ours.id AND NOT is_all
