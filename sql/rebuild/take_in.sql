-- take_in: the events of a day that Lago holds come into the ledger.
--
-- Reads   the temp table held, of which the windows in [since, until); the ledger's events under the same keys. Where
--         Lago holds copies, the one that was read first counts.
-- Writes  the events that the ledger lacks. Those that it was still to send become what Lago holds. All of these are in
--         new batches, which are accepted; a batch that loses events is as much smaller, or gone. A window that no look
--         has seen had at least as many rows as its events say.
-- Returns how many events have each fate, their USD, the first and the last window:
--   added      the ledger did not know it
--   accepted   the ledger was still to send it, or held it back, just as it is
--   replaced   the same, but Lago holds something else under this id
--   known      the ledger has it as accepted
--   differing  the ledger has it as accepted, and otherwise than Lago: left to verification
--   discarded  a person has given up what the ledger planned under this id: left so
--   copied     a further copy, or the same id under another subscription
WITH seen AS MATERIALIZED (
    SELECT held.*, row_number() OVER (PARTITION BY window_start, bucket, revision ORDER BY number) AS copy
    FROM pg_temp.held
    WHERE window_start >= %(since)s AND window_start < %(until)s
), known AS MATERIALIZED (
    SELECT seen.*, event.batch AS from_batch, batch.state,
           (event.input_tokens, event.output_tokens, event.cost, event.requests, event.subscription,
            split_part(split_part(event.payload, ',"timestamp":"', 2), '"', 1))
           IS NOT DISTINCT FROM
           (seen.input_tokens, seen.output_tokens, seen.cost, seen.requests, seen.subscription,
            split_part(split_part(seen.payload, ',"timestamp":"', 2), '"', 1)) AS is_equal
    FROM seen
         LEFT JOIN reconciler.event ON event.meter = %(meter)s
                                       AND event.window_start = seen.window_start
                                       AND event.bucket = seen.bucket
                                       AND event.revision = seen.revision
                                       AND seen.copy = 1
         LEFT JOIN reconciler.batch ON batch.id = event.batch
), fated AS MATERIALIZED (
    SELECT known.*,
           CASE WHEN copy > 1 THEN 'copied'
                WHEN from_batch IS NULL THEN 'added'
                WHEN state = 'discarded' THEN 'discarded'
                WHEN state = 'accepted' THEN CASE WHEN is_equal THEN 'known' ELSE 'differing' END
                WHEN is_equal THEN 'accepted'
                ELSE 'replaced' END AS fate
    FROM known
), taken AS MATERIALIZED (
    SELECT fated.*, (row_number() OVER (ORDER BY window_start, bucket, revision) - 1) / %(batch_size)s AS place
    FROM fated
    WHERE fate IN ('added', 'accepted', 'replaced')
), lot AS MATERIALIZED (
    SELECT nextval('reconciler.batch_id') AS batch, place, min(window_start) AS first_window,
           max(window_start) AS last_window, count(*) AS events, sum(input_tokens) AS input_tokens,
           sum(output_tokens) AS output_tokens, sum(requests) AS requests, sum(cost) AS cost
    FROM taken
    GROUP BY place
), batches AS (
    INSERT INTO reconciler.batch (id, meter, first_window, last_window, events, input_tokens, output_tokens, requests,
                                  cost, state, asked_at, answered_at, answer)
    SELECT batch, %(meter)s, first_window, last_window, events, input_tokens, output_tokens, requests,
           cost, 'accepted', clock_timestamp(), clock_timestamp(), 'reconcile rebuild: Lago held it'
    FROM lot
), added AS (
    INSERT INTO reconciler.event (meter, window_start, bucket, revision, batch, customer, model, input_tokens,
                                  output_tokens, cost, requests, subscription, payload)
    SELECT %(meter)s, window_start, bucket, revision, batch, customer, model, taken.input_tokens,
           taken.output_tokens, taken.cost, taken.requests, subscription, payload
    FROM taken JOIN lot USING (place)
    WHERE fate = 'added'
), moved AS (
    UPDATE reconciler.event
    SET batch = lot.batch,
        input_tokens = taken.input_tokens,
        output_tokens = taken.output_tokens,
        cost = taken.cost,
        requests = taken.requests,
        subscription = taken.subscription,
        payload = CASE WHEN taken.fate = 'replaced' THEN taken.payload ELSE event.payload END
    FROM taken JOIN lot USING (place)
    WHERE taken.fate <> 'added'
      AND event.meter = %(meter)s
      AND event.window_start = taken.window_start
      AND event.bucket = taken.bucket
      AND event.revision = taken.revision
), stays AS MATERIALIZED (
    SELECT event.batch, min(window_start) AS first_window, max(window_start) AS last_window, count(*) AS events,
           sum(input_tokens) AS input_tokens, sum(output_tokens) AS output_tokens, sum(requests) AS requests,
           sum(cost) AS cost
    FROM reconciler.event
    WHERE event.batch IN (SELECT from_batch FROM taken)
      AND NOT EXISTS (SELECT FROM taken
                      WHERE (taken.window_start, taken.bucket, taken.revision)
                            = (event.window_start, event.bucket, event.revision))
    GROUP BY event.batch
), smaller AS (
    UPDATE reconciler.batch
    SET first_window = stays.first_window, last_window = stays.last_window, events = stays.events,
        input_tokens = stays.input_tokens, output_tokens = stays.output_tokens, requests = stays.requests,
        cost = stays.cost
    FROM stays
    WHERE batch.id = stays.batch
), gone AS (
    DELETE FROM reconciler.batch
    WHERE id IN (SELECT from_batch FROM taken) AND id NOT IN (SELECT batch FROM stays)
), windows AS (
    INSERT INTO reconciler."window" (meter, start, rows, requests, cost, unattributed_rows, unattributed_cost,
                                     suspect_rows, frozen_buckets, frozen_cost, unmapped_buckets, unmapped_cost,
                                     late_rows, late_cost)
    SELECT %(meter)s, window_start, sum(requests)::bigint, sum(requests)::bigint, sum(cost), 0, 0, 0, 0, 0, 0, 0, 0, 0
    FROM fated
    WHERE copy = 1
    GROUP BY window_start
    ORDER BY window_start
    ON CONFLICT (meter, start) DO NOTHING
)
SELECT fate, count(*) AS events, sum(cost) AS cost, min(window_start) AS first_window, max(window_start) AS last_window
FROM fated
GROUP BY fate
