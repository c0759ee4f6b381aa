-- unknown_events: which events that Lago holds under this meter's name the ledger does not have as they are there.
--
-- Reads   arrays of keys as Lago's properties say them, with ids and subscriptions. Lago takes one id for two
--         subscriptions, so the same id under another one would be billed twice; a very old Lago names none.
-- Returns the ids of those that are in no row of reconciler.event.
SELECT held.transaction_id
FROM unnest(%(window_starts)s::timestamptz[], %(buckets)s::bytea[], %(revisions)s::int[], %(ids)s::text[],
            %(subscriptions)s::text[])
         AS held (window_start, bucket, revision, transaction_id, subscription)
WHERE NOT EXISTS (SELECT FROM reconciler.event
                  WHERE event.meter = %(meter)s
                    AND event.window_start = held.window_start
                    AND event.bucket = held.bucket
                    AND event.revision = held.revision
                    AND (held.subscription IS NULL OR held.subscription = event.subscription)
                    AND starts_with(event.payload, '{"transaction_id":"' || held.transaction_id || '"'))
