-- others: how has Lago answered others since just before a batch was taken?
--
-- Reads   the attempt's beginning, and the batches of all meters that send to that Lago. It is asked when the attempt has
--         failed: several senders begin at once, and an answer may take long.
-- Returns whether it accepted another batch (what was accepted without being sent tells nothing); whether another failed
--         in vain that was accepted later, or has not failed for a whole round: then Lago fails what is healthy; and
--         whether it flaps: in the last hour it has accepted a batch that it had failed before.
SELECT coalesce(bool_or(other.state = 'accepted' AND other.attempts > 0 AND other.answered_at > since), false) AS works,
       coalesce(bool_or(other.failures > 0 AND other.failed_at > since
                        AND (other.state = 'accepted' OR other.failures < %(tries)s)), false) AS fails,
       coalesce(bool_or(other.state = 'accepted' AND other.failures > 0), false) AS flaps
FROM (SELECT id, attempted_at - %(near)s::interval AS since FROM reconciler.batch WHERE id = %(id)s) AS this
     JOIN reconciler.batch AS other
          ON other.id <> this.id
             AND (other.state = 'planned'
                  OR other.state = 'accepted' AND other.answered_at > clock_timestamp() - interval '1 hour')
     JOIN reconciler.meter ON meter.name = other.meter AND meter.lago = %(lago)s
