-- known_events: what the ledger knows of events that Lago holds under this meter's name (known.sql).
--
-- Reads   arrays of keys as Lago's properties say them, with ids and subscriptions.
-- Returns of each that this ledger has not been to send: its number in the arrays, from 1 on, and of the event that it
--         plans under that id the batch, attempt, state, number of events, why it is held, the place and the payload;
--         NULLs if it plans none.
SELECT held.number, known.batch, known.attempts, known.state, known.events, known.held_for,
       (SELECT count(*) FROM reconciler.event AS before
        WHERE before.batch = known.batch
          AND (before.window_start, before.bucket, before.revision)
              < (known.window_start, known.bucket, known.revision)) AS place,
       known.payload
FROM unnest(%(window_starts)s::timestamptz[], %(buckets)s::bytea[], %(revisions)s::int[], %(ids)s::text[],
            %(subscriptions)s::text[])
         WITH ORDINALITY AS held (window_start, bucket, revision, transaction_id, subscription, number)
     LEFT JOIN LATERAL {known} AS known ON true
WHERE known.asked_at IS NULL
