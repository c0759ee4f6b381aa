-- known: the event that a ledger has under the key, id and subscription that Lago shows (held), with its batch; no row if it
-- has none. A fragment of known_events.sql and of verify/strangers.sql, after LATERAL.
--
-- Lago takes one id for two subscriptions, so the same id under another one is none of the ledger's; a very old Lago names
-- no subscription. The LIMIT keeps it a look-up by key: a ledger that has no statistics yet would else be read whole.
(SELECT event.window_start, event.bucket, event.revision, event.payload, event.batch, batch.attempts, batch.state,
        batch.events, batch.held_for, batch.asked_at
 FROM reconciler.event JOIN reconciler.batch ON batch.id = event.batch
 WHERE event.meter = %(meter)s
   AND event.window_start = held.window_start
   AND event.bucket = held.bucket
   AND event.revision = held.revision
   AND (held.subscription IS NULL OR held.subscription = event.subscription)
   AND starts_with(event.payload, '{"transaction_id":"' || held.transaction_id || '"')
 LIMIT 1)
