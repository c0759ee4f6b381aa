-- pace: what a request took of late, in seconds; NULL if nothing was sent in the last day.
--
-- Reads   the last hundred batches that a Lago accepted, by their index. What was accepted without being sent tells nothing.
SELECT avg(extract(epoch FROM answered_at - attempted_at))::float8
FROM (SELECT answered_at, attempted_at
      FROM reconciler.batch JOIN reconciler.meter ON meter.name = batch.meter
      WHERE state = 'accepted'
        AND answered_at > clock_timestamp() - interval '1 day'
        AND meter.lago = %(lago)s
        AND attempts = 1
        AND events >= 20
      ORDER BY answered_at DESC
      LIMIT 100) AS late
