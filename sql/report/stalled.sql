-- stalled: since when passes begin and do not finish, if that was before a moment. One that got no turn may have waited
-- for a stalled one, so that it tells nothing.
SELECT min(started_at) AS since
FROM reconciler.run
WHERE meter = %(meter)s
  AND finished_at IS NULL
  AND started_at < %(before)s
  AND started_at > coalesce((SELECT max(finished_at) FROM reconciler.run
                             WHERE meter = %(meter)s AND outcome <> 'skipped'), '-infinity')
