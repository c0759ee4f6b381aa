-- due_in: how long until the next batch of a meter is due. What waits behind others is not asked about: who sends these
-- takes it afterwards.
SELECT min(greatest(leased_until, rests_until, open_since + %(ask_after)s::interval)) - clock_timestamp() AS due_in
FROM reconciler.batch
WHERE meter = %(meter)s
  AND state = 'planned'
  AND admitted_at > clock_timestamp() - %(admission)s::interval
  AND NOT (behind
           AND EXISTS (SELECT FROM reconciler.event
                            JOIN reconciler.event AS earlier USING (meter, window_start, bucket)
                            JOIN reconciler.batch AS other ON other.id = earlier.batch
                       WHERE event.batch = batch.id
                         AND earlier.revision < event.revision
                         AND (other.state = 'planned' OR other.conflict)))
