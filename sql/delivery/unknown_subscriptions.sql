-- unknown_subscriptions: whose planned events need a look before they go: Lago has to be asked for their subscriptions,
-- or they may not lie in the present period of one.
--
-- Reads   planned batches that Lago was asked about and that were never on their way, or not since they were repaired, and
--         the mirror. A name is unknown if it was never asked about, or what was told of it is no longer good. A
--         subscription that is not there may be made at any time: for usage from before the question it is asked for again.
-- Returns the external ids, whether each is unknown, whether there was none of that name, and whether its events may be
--         doubtful: the unknown ones first, then those without an active subscription, the longest not asked for first.
--
-- The OFFSETs make it a look-up by key: a ledger that has no statistics yet would else be read whole.
SELECT wanted.subscription,
       known.is_unknown,
       known.was_none,
       known.is_unknown OR (NOT known.was_none AND coalesce(wanted.earliest < known.since, true)) AS may_be_doubtful
FROM (SELECT subscription, min(window_start) AS earliest
      FROM reconciler.batch,
           LATERAL (SELECT subscription, window_start FROM reconciler.event
                    WHERE event.batch = batch.id OFFSET 0) AS planned
      WHERE batch.meter = %(meter)s
        AND batch.state = 'planned'
        AND batch.asked_at IS NOT NULL
        AND (batch.open_since IS NULL OR batch.repaired_at > coalesce(batch.attempted_at, '-infinity'))
        AND (batch.decided_at IS NULL OR batch.decided_at <= greatest(batch.planned_at, batch.repaired_at))
      GROUP BY subscription) AS wanted,
     LATERAL (
         SELECT coalesce(bool_and(status = 'none'), false) AS was_none,
                bool_and(status <> 'active') AS is_none,
                max(greatest(started_at, period_started_at)) FILTER (WHERE status = 'active') AS since,
                min(asked_at) AS asked_at,
                coalesce(min(good_until) <= %(now)s
                         OR (bool_and(status <> 'active')
                             AND min(asked_at) < %(now)s
                             AND wanted.earliest < min(asked_at) - interval '1 hour'), true) AS is_unknown
         FROM reconciler.subscription
         WHERE id = sha256(convert_to(%(key)s::text || wanted.subscription, 'UTF8'))
         OFFSET 0) AS known
WHERE known.is_unknown
   OR (known.is_none AND known.asked_at < %(now)s)
   OR (NOT known.was_none AND coalesce(wanted.earliest < known.since, true))
ORDER BY known.is_unknown DESC, known.is_none DESC, known.asked_at
