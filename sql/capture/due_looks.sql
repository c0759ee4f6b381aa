-- due_looks: the kinds of look of which one is due: so much time (pauses) has gone by since the last was done, or since
-- the meter was made.
--
-- Reads   reconciler.look, reconciler.meter, the ledger's clock. What lies in its future was noted by a clock that ran
--         ahead, and puts no look off.
-- Returns these of the kinds.
SELECT asked.kind
FROM unnest(%(kinds)s::text[], %(pauses)s::interval[]) AS asked (kind, pause),
     (SELECT clock_timestamp() AS now OFFSET 0) AS clock
WHERE NOT EXISTS (SELECT FROM reconciler.look
                  WHERE meter = %(meter)s AND look.kind = asked.kind
                    AND finished_at > now - pause AND finished_at <= now)
  AND NOT EXISTS (SELECT FROM reconciler.meter
                  WHERE name = %(meter)s
                    AND created_at > now - pause AND created_at <= now)
