-- claim_alarm: takes an alarm that the operator's own command or webhook has to be told of.
--
-- Reads   reconciler.alarm: those that ring and were not told of since they began to, and those that are over and were
--         told of as ringing. One that another pass has in hand is left to it, and so is one that is locked.
-- Writes  until when it is this pass's: whoever dies meanwhile leaves it to another, which may tell it a second time.
-- Returns the alarm, if there is one: the oldest of those that nobody has tried to tell; else the one whose last try is
--         the longest ago, so that those that can't be told keep no other from its turn.
UPDATE reconciler.alarm
SET telling_until = clock_timestamp() + %(lease)s
WHERE id = (SELECT id
            FROM reconciler.alarm
            WHERE meter = ANY(%(meters)s)
              AND coalesce(telling_until < clock_timestamp(), true)
              AND CASE WHEN cleared_at IS NULL
                       THEN acknowledged_at IS NULL AND coalesce(told_at < rang_at, true)
                       ELSE told_at IS NOT NULL AND over_told_at IS NULL END
            ORDER BY telling_until NULLS FIRST, id
            LIMIT 1
            FOR UPDATE SKIP LOCKED)
RETURNING *
