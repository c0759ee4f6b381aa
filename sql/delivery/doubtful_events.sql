-- doubtful_events: which events do not lie in the present period of a subscription, so that Lago may not bill them.
--
-- Reads   batches of one state after a number, at most so many of them: planned ones that were never on their way, or not
--         since Lago was seen not to hold them (repaired); or held ones of a closed period that are to be asked about
--         again, of which all events are returned. What a person has let go since it was planned is not doubted again. Of a customer without
--         any subscription nothing is doubtful.
-- Returns one row for the events of a batch that share external id and timestamp and all bill usage, or all take it
--         back: the batch, its attempt, its state, how many events it has, why it is held, whether Lago may yet show it,
--         the external id, the timestamp, whether they take usage back, the last instant shortly
--         before it up to which the external id was closed, the places.
--
-- An event's timestamp is not before its window: only where the window begins before the period its text is read. The
-- OFFSETs make it a look-up by batch, and let a text be read once.
WITH candidate AS MATERIALIZED (
    SELECT id, attempts, state, events, answer, open_since IS NOT NULL AS is_open
    FROM reconciler.batch
    WHERE meter = %(meter)s
      AND state = %(state)s
      AND id > %(after)s
      AND (open_since IS NULL OR repaired_at > coalesce(attempted_at, '-infinity'))
      AND CASE WHEN state = 'planned' THEN asked_at IS NOT NULL
                         AND (decided_at IS NULL OR decided_at <= greatest(planned_at, repaired_at))
               ELSE held_for = 'closed period' AND coalesce(rests_until < clock_timestamp(), %(final)s) END
), span AS MATERIALIZED (
    SELECT external_id,
           CASE WHEN bool_and(status = 'none') THEN '-infinity'
                ELSE max(greatest(started_at, period_started_at)) FILTER (WHERE status = 'active') END AS since
    FROM reconciler.subscription
    WHERE lago = %(lago)s AND organization = %(organization)s AND good_until > %(now)s
    GROUP BY external_id
), doubtful AS MATERIALIZED (
    SELECT candidate.*, subscription, moment, takes_back, place,
           dense_rank() OVER (ORDER BY candidate.id) AS number
    FROM candidate,
         LATERAL (SELECT subscription, window_start, payload,
                         least(input_tokens, output_tokens, cost, requests) < 0 AS takes_back,
                         row_number() OVER (ORDER BY window_start, bucket, revision) - 1 AS place
                  FROM reconciler.event
                  WHERE event.batch = candidate.id OFFSET 0) AS placed
         LEFT JOIN span ON span.external_id = placed.subscription,
         LATERAL (SELECT CASE WHEN %(state)s = 'planned' AND window_start >= since THEN NULL
                              ELSE to_timestamp(split_part(split_part(payload, ',"timestamp":"', 2), '"', 1)::float8)
                              END AS moment
                  OFFSET 0) AS read
    WHERE moment IS NOT NULL AND (%(state)s = 'held' OR since IS NULL OR moment < since)
)
SELECT id, attempts, state, events, answer, is_open, subscription, moment, takes_back, closed_at, array_agg(place)
FROM doubtful,
     LATERAL (SELECT max(instant) AS closed_at
              FROM reconciler.closing
              WHERE closing.meter = %(meter)s
                AND closing.id = sha256(convert_to(subscription, 'UTF8'))
                AND instant < moment
                AND instant >= moment - %(closed_for)s::interval) AS closed
WHERE number <= %(batches)s
GROUP BY id, attempts, state, events, answer, is_open, subscription, moment, takes_back, closed_at
ORDER BY id
