-- unverified: the next accepted batches of which Lago is to show that it holds them.
--
-- Reads   batches with windows in [since, until), accepted before a moment, that were never verified; with `again` those
--         as well that were verified before this run began. Goes on after a place: (settled, first_window,
--         last_window, id).
-- Returns at most so many, those in doubt first: sent more than once, let go by a person, or sent more than a day after
--         their windows, when their billing period may have been over. Settled says that a batch is not in doubt.
SELECT id, settled, first_window, last_window, events, attempts, answered_at, answer, verified_at
FROM (SELECT batch.*,
             NOT (attempts > 1 OR decided_at IS NOT NULL OR answered_at > last_window + interval '1 day') AS settled
      FROM reconciler.batch
      WHERE meter = %(meter)s
        AND state = 'accepted'
        AND (verified_at IS NULL OR (%(again)s AND verified_at < %(began)s))
        AND first_window < %(until)s
        AND last_window >= %(since)s
        AND answered_at <= %(visible)s) AS accepted
WHERE (settled, first_window, last_window, id) > (%(settled)s, %(first_window)s, %(last_window)s, %(id)s)
ORDER BY settled, first_window, last_window, id
LIMIT %(most)s
