-- unsendable: planned events that Lago is known to choke on, or to count as 0 (facts: lago sections 1.1 and 2).
--
-- Reads   batches that are new to delivery, unless a person has decided since they were planned that they go all the same.
-- Returns one row a batch and reason: its number, its attempt, its state, how many events it has, the reason, the places.
--
-- Lago's unique index holds 2,704 bytes: organization (16), id (67) and subscription. ClickHouse counts in Decimal128 with
-- 26 decimals: from 10^12 on it counts 0.
SELECT id, attempts, state, events, reason, array_agg(place)
FROM (SELECT batch.id, batch.attempts, batch.state, batch.events,
             row_number() OVER (PARTITION BY batch.id ORDER BY window_start, bucket, revision) - 1 AS place,
             CASE WHEN %(store)s <> 'clickhouse' AND octet_length(subscription) > 2621
                  THEN format('its subscription''s name has %%s bytes, Lago''s index takes 2621', octet_length(subscription))
                  WHEN %(store)s = 'clickhouse'
                       AND greatest(abs(event.input_tokens + event.output_tokens), abs(event.requests), abs(event.cost)) >= 1000000000000
                  THEN 'it holds 1,000,000,000,000 or more of something: from there on Lago''s ClickHouse counts 0'
             END AS reason
      FROM reconciler.batch JOIN reconciler.event ON event.batch = batch.id
      WHERE batch.meter = %(meter)s
        AND batch.state = 'planned'
        AND batch.asked_at IS NULL
        AND (batch.decided_at IS NULL OR batch.decided_at <= batch.planned_at)) AS vetted
WHERE reason IS NOT NULL
GROUP BY id, attempts, state, events, reason
ORDER BY id
