-- compensate: plans for each usage that is taken back two events, the next revisions of its bucket: one of the old
--             subscription with the measures below zero, one of the wanted subscription with the same above zero. Both have
--             the timestamp of what they move, so that they count where it does.
--
-- Reads   what there is to move (misplaced.sql) in windows of the same terms.
-- Writes  the events and their batches (planned.sql).
-- Returns how many events.
WITH {misplaced}, delta AS MATERIALIZED (
    SELECT pair.window_start, pair.customer, pair.model, half.subscription, pair.stamp,
           in_bucket.next_revision + 2 * pair.place + half.number AS revision,
           half.sign * pair.input_tokens AS input_tokens,
           half.sign * pair.output_tokens AS output_tokens,
           half.sign * pair.cost AS cost,
           half.sign * pair.requests AS requests,
           octet_length(pair.customer) + octet_length(pair.model)
               + greatest(octet_length(pair.subscription), octet_length(%(subscription)s::text)) > 2000 AS long
    FROM (SELECT taken.*,
                 (row_number() OVER (PARTITION BY window_start, bucket ORDER BY subscription, stamp) - 1)::int AS place
          FROM taken) AS pair
         JOIN in_bucket USING (window_start, bucket)
         CROSS JOIN LATERAL (VALUES (0, -1, pair.subscription), (1, 1, %(subscription)s::text)) AS half (number, sign, subscription)
), {planned}
SELECT count(*) FROM due
