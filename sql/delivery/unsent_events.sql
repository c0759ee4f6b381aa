-- unsent_events: which events that Lago holds under this meter's name this ledger has not sent.
--
-- Reads   arrays of keys as Lago's properties say them, with ids and subscriptions. Lago takes one id for two
--         subscriptions, so the same id under another one would be billed twice; a very old Lago names none.
-- Returns the number of each in the arrays, from 1 on, with the payload that the ledger is about to send under that id,
--         in a window that Lago was never asked about; NULL if it knows no such event.
--
-- The LIMIT keeps it a look-up by key: a ledger that has no statistics yet would else be read whole for each page.
SELECT held.number, known.payload
FROM unnest(%(window_starts)s::timestamptz[], %(buckets)s::bytea[], %(revisions)s::int[], %(ids)s::text[],
            %(subscriptions)s::text[])
         WITH ORDINALITY AS held (window_start, bucket, revision, transaction_id, subscription, number)
     LEFT JOIN LATERAL (SELECT payload,
                               (SELECT asked_at FROM reconciler."window"
                                WHERE "window".meter = event.meter
                                  AND "window".start = event.window_start) AS asked_at
                        FROM reconciler.event
                        WHERE event.meter = %(meter)s
                          AND event.window_start = held.window_start
                          AND event.bucket = held.bucket
                          AND event.revision = held.revision
                          AND (held.subscription IS NULL OR held.subscription = event.subscription)
                          AND starts_with(event.payload, '{"transaction_id":"' || held.transaction_id || '"')
                        LIMIT 1) AS known ON true
WHERE known.asked_at IS NULL
