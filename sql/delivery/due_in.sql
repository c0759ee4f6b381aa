-- due_in: how long until the next batch of a meter is due. What waits behind others (waits.sql) is not asked about:
-- who sends these takes it afterwards.
SELECT min(greatest(leased_until, rests_until, open_since + %(ask_after)s::interval)) - clock_timestamp() AS due_in
FROM reconciler.batch
WHERE meter = %(meter)s
  AND state = 'planned'
  AND (%(only)s::bigint[] IS NULL OR id = ANY(%(only)s::bigint[]))
  AND admitted_at > clock_timestamp() - %(admission)s::interval
  AND NOT {waits}
