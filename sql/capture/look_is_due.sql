-- look_is_due: whether so much time has gone by since a look of that kind was last done, or since the meter was made.
--
-- Reads   reconciler.look, reconciler.meter, the ledger's clock. What lies in its future was noted by a clock that ran
--         ahead, and puts no look off.
-- Returns one row.
SELECT NOT EXISTS (SELECT FROM reconciler.look
                   WHERE meter = %(meter)s AND kind = %(kind)s
                     AND finished_at > now - %(pause)s::interval AND finished_at <= now)
       AND NOT EXISTS (SELECT FROM reconciler.meter
                       WHERE name = %(meter)s
                         AND created_at > now - %(pause)s::interval AND created_at <= now)
FROM (SELECT clock_timestamp() AS now OFFSET 0) AS clock
