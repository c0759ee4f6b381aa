-- split: the events of a batch part ways: a batch for each fate, in one statement. It is how anything but acceptance and
-- rest comes over a batch: a sender, the gate or a person says which events go where.
--
-- Reads   the batch, if it is still in the state and at the attempt that the caller saw, with all of its events; and
--         parts, a JSON array, each with the places of its events in the batch and their fate: state, held_for, conflict,
--         answer, failure, open (whether the attempt stays open), decided_by and reason.
-- Writes  a new batch for each part but the first, which keeps the row; the events that move; every batch's sums.
-- Returns one row a part: its number and its batch. No row: another was quicker, and nothing was done.
--
-- A batch loses events and never gets any, so their number tells whether the caller's places are still theirs.
WITH ours AS (
    SELECT * FROM reconciler.batch
    WHERE id = %(id)s AND attempts = %(attempt)s AND state = %(state)s AND events = %(events)s
    FOR UPDATE
), part AS MATERIALIZED (
    SELECT part.number,
           CASE WHEN part.number = 1 THEN ours.id ELSE nextval('reconciler.batch_id') END AS batch,
           fate.*
    FROM ours,
         jsonb_array_elements(%(parts)s::jsonb) WITH ORDINALITY AS part (fate, number),
         jsonb_to_record(part.fate) AS fate (places int[], state text, held_for text, conflict boolean, answer text,
                                             failure text, open boolean, decided_by text, reason text)
), placed AS MATERIALIZED (
    SELECT event.*, part.batch AS goes_to
    FROM (SELECT event.*, row_number() OVER (ORDER BY window_start, bucket, revision) - 1 AS place
          FROM reconciler.event
          WHERE event.batch = %(id)s) AS event
         JOIN (SELECT batch, unnest(places) AS place FROM part) AS part USING (place)
), sums AS (
    SELECT goes_to AS batch, min(window_start) AS first_window, max(window_start) AS last_window, count(*) AS events,
           sum(input_tokens) AS input_tokens, sum(output_tokens) AS output_tokens, sum(requests) AS requests,
           sum(cost) AS cost
    FROM placed
    GROUP BY goes_to
), moved AS (
    UPDATE reconciler.event
    SET batch = placed.goes_to
    FROM placed
    WHERE placed.goes_to <> %(id)s
      AND event.meter = placed.meter
      AND event.window_start = placed.window_start
      AND event.bucket = placed.bucket
      AND event.revision = placed.revision
), recorded AS (
    INSERT INTO reconciler.batch (
        id, meter, first_window, last_window, events, input_tokens, output_tokens, requests, cost, behind,
        state, held_for, conflict, planned_at, asked_at, admitted_at, attempts, attempted_at, open_since,
        failed_at, failure, answered_at, answer, decided_at, decided_by, reason,
        subscribers_seen, repaired_at)
    SELECT part.batch, ours.meter, sums.first_window, sums.last_window, sums.events, sums.input_tokens,
           sums.output_tokens, sums.requests, sums.cost, ours.behind,
           part.state, part.held_for, coalesce(part.conflict, false), ours.planned_at, ours.asked_at, ours.admitted_at,
           ours.attempts, ours.attempted_at,
           CASE WHEN part.state = 'accepted' THEN NULL
                WHEN coalesce(part.open, true) THEN ours.open_since
                ELSE %(opened_before)s END,
           CASE WHEN part.failure IS NULL THEN ours.failed_at ELSE clock_timestamp() END, coalesce(part.failure, ours.failure),
           CASE WHEN part.state = ours.state THEN ours.answered_at
                WHEN part.state <> 'planned' THEN clock_timestamp() END,
           part.answer,
           CASE WHEN part.decided_by IS NULL THEN ours.decided_at ELSE clock_timestamp() END,
           coalesce(part.decided_by, ours.decided_by),
           coalesce(part.reason, ours.reason),
           ours.subscribers_seen,
           ours.repaired_at
    FROM ours, part JOIN sums USING (batch)
    ON CONFLICT (id) DO UPDATE
    SET first_window = excluded.first_window,
        last_window = excluded.last_window,
        events = excluded.events,
        input_tokens = excluded.input_tokens,
        output_tokens = excluded.output_tokens,
        requests = excluded.requests,
        cost = excluded.cost,
        state = excluded.state,
        held_for = excluded.held_for,
        conflict = excluded.conflict,
        leased_until = NULL,
        open_since = excluded.open_since,
        failures = 0,
        failed_at = excluded.failed_at,
        failure = excluded.failure,
        proof = 0,
        rests_until = NULL,
        answered_at = excluded.answered_at,
        answer = excluded.answer,
        decided_at = excluded.decided_at,
        decided_by = excluded.decided_by,
        reason = excluded.reason
)
SELECT number, batch FROM part ORDER BY number
