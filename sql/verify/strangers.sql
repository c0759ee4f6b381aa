-- strangers: what the ledger knows of events in Lago that were not looked for (delivery/known.sql).
--
-- Reads   arrays: the window that each lies in, its subscription and id; and of those under this meter's name the key that
--         their properties say, else NULL.
-- Returns of each, by its number from 1 on: the state of the event that this ledger has under that id and subscription
--         (NULL: none), its payload if it was discarded, whether the ledger bills the subscription in that window, and
--         whether it is one of LiteLLM's callback that was taken over.
SELECT held.number, known.state, CASE known.state WHEN 'discarded' THEN known.payload END AS payload,
       billed.subscription IS NOT NULL AS is_billed, taken.id IS NOT NULL AS is_taken
FROM unnest(%(windows)s::timestamptz[], %(subscriptions)s::text[], %(ids)s::text[], %(key_starts)s::timestamptz[],
            %(buckets)s::bytea[], %(revisions)s::int[])
         WITH ORDINALITY AS held (lies_in, subscription, transaction_id, window_start, bucket, revision, number)
     LEFT JOIN LATERAL {known} AS known ON true
     LEFT JOIN (SELECT window_start AS lies_in, subscription
                FROM reconciler.event
                WHERE meter = %(meter)s AND window_start = ANY(%(windows)s::timestamptz[])
                UNION
                SELECT window_start, customer
                FROM reconciler.takeover
                WHERE meter = %(meter)s AND window_start = ANY(%(windows)s::timestamptz[])) AS billed
          USING (lies_in, subscription)
     LEFT JOIN reconciler.callback_event AS taken
          ON taken.meter = %(meter)s
             AND taken.id = CASE WHEN held.transaction_id ~ '^[0-9a-f]{{8}}(-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}}$'
                                 THEN held.transaction_id::uuid END
             AND taken.subscription = held.subscription
             AND taken.bucket IS NOT NULL
ORDER BY held.number
