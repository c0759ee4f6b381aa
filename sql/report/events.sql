-- events: events of a meter and what has become of them, the newest window first, so many after a place.
--
-- Reads   reconciler.event and reconciler.batch. NULL asks for any: state, customer, the beginning of an id, the
--         first window and the end, and the place (window, bucket, revision) of the last event that the caller has.
-- Returns one row an event. Long names are cut and say so, payloads are left out: either may be as long as the proxy
--         takes. Its place within its batch is only told if wanted, for a decision about it.
SELECT event.meter,
       {event_id} AS transaction_id,
       window_start,
       bucket,
       revision,
       CASE WHEN length(customer) <= 200 THEN customer
            ELSE concat(left(customer, 200), '… (', length(customer), ' characters)') END AS customer,
       CASE WHEN length(model) <= 200 THEN model
            ELSE concat(left(model, 200), '… (', length(model), ' characters)') END AS model,
       CASE WHEN length(subscription) <= 200 THEN subscription
            ELSE concat(left(subscription, 200), '… (', length(subscription), ' characters)') END AS subscription,
       event.cost,
       event.input_tokens,
       event.output_tokens,
       event.requests,
       batch.state,
       batch.held_for,
       batch.conflict,
       batch.attempts,
       batch.attempted_at,
       batch.answered_at,
       batch.answer,
       batch.failure,
       batch.decided_at,
       batch.decided_by,
       batch.reason,
       batch.id AS batch,
       batch.events AS batch_events,
       CASE WHEN %(placed)s THEN (SELECT count(*)
                                  FROM reconciler.event AS earlier
                                  WHERE earlier.batch = event.batch
                                    AND (earlier.window_start, earlier.bucket, earlier.revision)
                                        < (event.window_start, event.bucket, event.revision)) END AS place
FROM reconciler.event JOIN reconciler.batch ON batch.id = event.batch
WHERE event.meter = %(meter)s
  AND (%(state)s::text IS NULL OR batch.state = %(state)s::text)
  AND (%(customer)s::text IS NULL OR customer = %(customer)s::text)
  AND window_start >= coalesce(%(since)s::timestamptz, '-infinity')
  AND window_start < coalesce(%(until)s::timestamptz, 'infinity')
  AND (%(id)s::text IS NULL OR starts_with({event_id}, %(id)s::text))
  AND (%(window_start)s::timestamptz IS NULL
       OR (window_start, bucket, event.revision)
          < (%(window_start)s::timestamptz, %(bucket)s::bytea, %(revision)s::int))
ORDER BY window_start DESC, bucket DESC, event.revision DESC
LIMIT %(limit)s
