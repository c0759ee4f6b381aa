-- closing: what has become of a subscription's events that matter before its plan changes.
--
-- Reads   batches that Lago has not accepted, or only lately (accepted_since), so that it may not show them yet; those with
--         windows from the last ones on that every pass looks at (fresh_since); and those made since a call (after, called_at),
--         by number and time.
-- Returns one row a batch with events of the subscription: its number and state, how many of them it has and their cost,
--         whether they were planned since the call, whether some are of windows since fresh_since, why they are not in
--         Lago, when Lago accepted them, and whether it was seen to hold them. What a person has discarded is decided.
SELECT batch.id,
       batch.state,
       batch.held_for,
       coalesce(batch.answer, batch.failure) AS words,
       batch.planned_at >= %(called_at)s AS is_new,
       batch.last_window >= %(fresh_since)s AS is_fresh,
       batch.answered_at,
       batch.verified_at IS NOT NULL AS is_verified,
       count(*) AS events,
       sum(event.cost) AS cost
FROM reconciler.batch JOIN reconciler.event ON event.batch = batch.id
WHERE batch.meter = %(meter)s
  AND batch.state <> 'discarded'
  AND (batch.state <> 'accepted' OR batch.first_window >= %(fresh_since)s OR batch.id > %(after)s
       OR (batch.state = 'accepted' AND batch.answered_at >= %(accepted_since)s))
  AND event.subscription = %(subscription)s
GROUP BY batch.id
ORDER BY batch.id
