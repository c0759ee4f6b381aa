-- take: the oldest batch that is due, for the time of a lease. Any number of senders may take.
--
-- Reads   arrays of turns, each a first window and a rank: what has never failed (0), what has, as it is or in a larger
--         batch (1), or a whole round (2). The first turn that finds a batch gets it. Planned batches that the gate has
--         admitted of late, or only those of an array among them. A batch is not due while another sender has it, while it rests, or while an attempt is open
--         that can't be read back yet. A bucket's revisions go one after the other (waits.sql), so that a conflict of one
--         can hold those behind it.
-- Writes  the attempt, before the request. A sender that dies leaves a lease that ends, and an open attempt.
--         That it was lost is then the reason why the batch goes again.
-- Returns the batch as it was: its number, the attempt (which tells this sender from a later one), the body that goes
--         to Lago, the ids in it, since when an earlier attempt is open, how often it failed in a row, how much proves
--         that it is poison, whether an earlier sender was lost, and whether a person, or a repair, has had it sent again.
WITH due AS (
    SELECT found.*
    FROM unnest(%(since)s::timestamptz[], %(ranks)s::int[]) WITH ORDINALITY AS turn (since, rank, number),
         LATERAL (SELECT id, open_since, leased_until
                  FROM reconciler.batch
                  WHERE meter = %(meter)s
                    AND state = 'planned'
                    AND (%(only)s::bigint[] IS NULL OR id = ANY(%(only)s::bigint[]))
                    AND first_window >= turn.since
                    AND CASE WHEN failed_at IS NULL THEN 0 WHEN failures < %(tries)s THEN 1 ELSE 2 END = turn.rank
                    AND admitted_at > clock_timestamp() - %(admission)s::interval
                    AND (leased_until IS NULL OR leased_until < clock_timestamp())
                    AND (rests_until IS NULL OR rests_until < clock_timestamp())
                    AND (open_since IS NULL OR open_since <= clock_timestamp() - %(ask_after)s::interval)
                    AND NOT {waits}
                  ORDER BY CASE WHEN %(in_turn)s THEN rests_until END NULLS FIRST, first_window, id
                  LIMIT 1
                  FOR UPDATE SKIP LOCKED) AS found
    ORDER BY number
    LIMIT 1
), taken AS (
    UPDATE reconciler.batch
    SET attempts = attempts + 1,
        attempted_at = clock_timestamp(),
        open_since = clock_timestamp(),
        leased_until = clock_timestamp() + %(lease)s::interval,
        failure = CASE WHEN due.leased_until IS NULL THEN batch.failure ELSE %(lost)s END
    FROM due
    WHERE batch.id = due.id
    RETURNING batch.id, batch.attempts, batch.failures, batch.proof,
              due.open_since AS opened_before, due.leased_until IS NOT NULL AS lost,
              coalesce(decided_at, repaired_at) IS NOT NULL AS decided
)
SELECT taken.id, attempts, body, ids, opened_before, failures, proof, lost, decided
FROM taken,
     LATERAL (SELECT '{{"events":[' || string_agg(payload, ',' ORDER BY window_start, bucket, revision) || ']}}' AS body,
                     array_agg({event_id} ORDER BY window_start, bucket, revision) AS ids
              FROM reconciler.event
              WHERE event.batch = taken.id) AS content
