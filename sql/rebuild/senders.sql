-- senders: whether a sender has a batch of the meter now. No other takes one until the transaction ends.
--
-- Reads   the meter's planned batches, and locks them in the order of ids, as all that changes several does.
SELECT coalesce(bool_or(leased_until > clock_timestamp()), false)
FROM (SELECT leased_until FROM reconciler.batch WHERE meter = %(meter)s AND state = 'planned' ORDER BY id FOR UPDATE) AS ours
