-- quarantined: events that Lago refuses for good, oldest window first.
--
-- Reads   reconciler.event by its index of what is not accepted; of one meter or of all (NULL).
-- Returns one row an event: all that a person needs to decide about it.
SELECT meter,
       (payload::json ->> 'transaction_id') AS transaction_id,
       window_start,
       bucket,
       revision,
       customer,
       model,
       subscription,
       cost,
       input_tokens,
       output_tokens,
       requests,
       conflict,
       attempts,
       attempted_at,
       answered_at,
       answer,
       failure,
       payload
FROM reconciler.event
WHERE state = 'quarantined'
  AND (%(meter)s::text IS NULL OR meter = %(meter)s)
ORDER BY meter, window_start, bucket, revision
