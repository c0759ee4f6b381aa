-- unknown_events: which events that Lago holds under this meter's name the ledger does not have.
--
-- Reads   arrays of keys as Lago's properties say them, with the ids.
-- Returns the ids of those that are in no row of reconciler.event.
SELECT held.transaction_id
FROM unnest(%(window_starts)s::timestamptz[], %(buckets)s::bytea[], %(revisions)s::int[], %(ids)s::text[])
         AS held (window_start, bucket, revision, transaction_id)
WHERE NOT EXISTS (SELECT FROM reconciler.event
                  WHERE event.meter = %(meter)s
                    AND event.window_start = held.window_start
                    AND event.bucket = held.bucket
                    AND event.revision = held.revision
                    AND starts_with(event.payload, '{"transaction_id":"' || held.transaction_id || '"'))
