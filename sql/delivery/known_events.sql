-- known_events: what the ledger knows of events that Lago holds under this meter's name.
--
-- Reads   arrays of keys as Lago's properties say them, with ids and subscriptions. Lago takes one id for two
--         subscriptions, so the same id under another one would be billed twice; a very old Lago names none.
-- Returns of each that this ledger has not been to send: its number in the arrays, from 1 on, and of the event that it
--         plans under that id the batch, attempt, state, number of events, why it is held, the place and the payload;
--         NULLs if it plans none.
--
-- The LIMIT keeps it a look-up by key: a ledger that has no statistics yet would else be read whole for each page.
SELECT held.number, known.batch, known.attempts, known.state, known.events, known.held_for, known.place, known.payload
FROM unnest(%(window_starts)s::timestamptz[], %(buckets)s::bytea[], %(revisions)s::int[], %(ids)s::text[],
            %(subscriptions)s::text[])
         WITH ORDINALITY AS held (window_start, bucket, revision, transaction_id, subscription, number)
     LEFT JOIN LATERAL (SELECT event.batch, batch.attempts, batch.state, batch.events, batch.held_for, batch.asked_at,
                               event.payload,
                               (SELECT count(*) FROM reconciler.event AS before
                                WHERE before.batch = event.batch
                                  AND (before.window_start, before.bucket, before.revision)
                                      < (event.window_start, event.bucket, event.revision)) AS place
                        FROM reconciler.event JOIN reconciler.batch ON batch.id = event.batch
                        WHERE event.meter = %(meter)s
                          AND event.window_start = held.window_start
                          AND event.bucket = held.bucket
                          AND event.revision = held.revision
                          AND (held.subscription IS NULL OR held.subscription = event.subscription)
                          AND starts_with(event.payload, '{"transaction_id":"' || held.transaction_id || '"')
                        LIMIT 1) AS known ON true
WHERE known.asked_at IS NULL
