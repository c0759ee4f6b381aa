-- misplaced: a customer's events of the windows in [since, until) that are not of the wanted subscription, and what can be
--            done about each. Begins a statement: WITH {misplaced}.
--
-- Reads   the customer's events, their batches, the credits on record.
-- Returns in_bucket: of each bucket the next revision; misplaced: the events, each with its timestamp and its fate:
--   compensate  Lago has it, or it takes back what Lago has: its usage is taken back and billed anew (taken: how much is
--               left to move, by bucket, subscription and timestamp, and of how many events)
--   redirect    Lago never had it: it goes to the wanted subscription as it is
--   stay        why says what is in the way: a conflict in its bucket, a credit on record, an event whose end nobody
--               knows (in doubt), or properties that other settings gave it (other settings)
--   given up    a person has discarded it
theirs AS MATERIALIZED (
    SELECT event.*,
           batch.state,
           split_part(split_part(payload, ',"timestamp":"', 2), '"', 1) AS stamp,
           least(event.input_tokens, event.output_tokens, event.cost, event.requests) < 0 AS takes_back,
           (batch.conflict AND batch.state <> 'accepted') OR coalesce(held_for = 'conflict', false) AS in_conflict,
           state IN ('planned', 'held', 'quarantined')
               AND (open_since IS NOT NULL OR repaired_at IS NOT NULL
                    OR coalesce(leased_until > clock_timestamp(), false)) AS in_doubt,
           (position('"input_tokens":' in payload) > 0) <> (%(properties)s::text <> 'callback')
               OR (position('"prompt_tokens":' in payload) > 0) <> (%(properties)s::text <> 'documented')
               OR (position('"precise_total_amount_cents":' in payload) > 0) <> %(precise_cents)s
               OR position('"' || %(event_field)s::text || '":' in payload) = 0 AS is_otherwise,
           state = 'planned' AND subscribers_seen AS was_noted
    FROM reconciler.event JOIN reconciler.batch ON batch.id = event.batch
    WHERE event.meter = %(meter)s
      AND window_start >= %(since)s
      AND window_start < %(until)s
      AND customer = %(customer)s
), in_bucket AS MATERIALIZED (
    SELECT window_start, bucket,
           max(revision) + 1 AS next_revision,
           CASE WHEN bool_or(in_conflict) THEN 'conflict'
                WHEN EXISTS (SELECT FROM reconciler.credit
                             WHERE credit.meter = %(meter)s
                               AND credit.window_start = theirs.window_start
                               AND credit.bucket = theirs.bucket
                               AND undone_at IS NULL) THEN 'credited' END AS stays
    FROM theirs
    GROUP BY window_start, bucket
), misplaced AS MATERIALIZED (
    SELECT *,
           CASE WHEN state = 'discarded' AND NOT takes_back THEN 'given up'
                WHEN why IS NOT NULL THEN 'stay'
                WHEN state = 'accepted' OR takes_back THEN 'compensate'
                ELSE 'redirect' END AS fate
    FROM (SELECT theirs.*,
                 coalesce(in_bucket.stays,
                          CASE WHEN bool_or(in_doubt AND NOT takes_back) OVER same THEN 'in doubt'
                               WHEN bool_or(is_otherwise AND NOT takes_back AND state = 'accepted') OVER same
                                   THEN 'other settings' END) AS why,
                 coalesce(max(revision) FILTER (WHERE takes_back) OVER (same_moment), -1) AS taken_before
          FROM theirs JOIN in_bucket USING (window_start, bucket)
          WHERE subscription <> %(subscription)s::text
          WINDOW same AS (PARTITION BY window_start, bucket, subscription),
                 same_moment AS (PARTITION BY window_start, bucket, subscription, stamp)) AS told
), taken AS MATERIALIZED (
    SELECT window_start, bucket, customer, model, subscription, stamp,
           count(*) FILTER (WHERE NOT takes_back AND revision > taken_before) AS events,
           sum(input_tokens)::bigint AS input_tokens,
           sum(output_tokens)::bigint AS output_tokens,
           sum(cost) AS cost,
           sum(requests)::bigint AS requests
    FROM misplaced
    WHERE fate = 'compensate'
    GROUP BY window_start, bucket, customer, model, subscription, stamp
    HAVING least(sum(input_tokens), sum(output_tokens), sum(cost), sum(requests)) >= 0
       AND greatest(sum(input_tokens), sum(output_tokens), sum(cost), sum(requests)) > 0
)
