-- strangers: what the ledger knows of events in Lago that were not looked for.
--
-- Reads   arrays: the window that each lies in, its subscription and id; and of those under this meter's name the key that
--         their properties say, else NULL.
-- Returns of each, by its number from 1 on: the state of the event that this ledger has under that id and subscription
--         (NULL: none), its payload if it was discarded, and whether the ledger bills the subscription in that window.
SELECT held.number, known.state, known.payload, billed.subscription IS NOT NULL AS is_billed
FROM unnest(%(windows)s::timestamptz[], %(subscriptions)s::text[], %(ids)s::text[], %(key_starts)s::timestamptz[],
            %(buckets)s::bytea[], %(revisions)s::int[])
         WITH ORDINALITY AS held (window_start, subscription, transaction_id, key_start, bucket, revision, number)
     LEFT JOIN LATERAL (SELECT batch.state, CASE batch.state WHEN 'discarded' THEN event.payload END AS payload
                        FROM reconciler.event JOIN reconciler.batch ON batch.id = event.batch
                        WHERE event.meter = %(meter)s
                          AND event.window_start = held.key_start
                          AND event.bucket = held.bucket
                          AND event.revision = held.revision
                          AND (held.subscription IS NULL OR held.subscription = event.subscription)
                          AND starts_with(event.payload, '{"transaction_id":"' || held.transaction_id || '"')
                        LIMIT 1) AS known ON true
     LEFT JOIN (SELECT DISTINCT window_start, subscription
                FROM reconciler.event
                WHERE meter = %(meter)s AND window_start = ANY(%(windows)s::timestamptz[])) AS billed
          USING (window_start, subscription)
ORDER BY held.number
