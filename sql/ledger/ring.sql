-- ring: raises an alarm, or refreshes the one that stands; if it has outgrown its acknowledgement it rings again.
--
-- Writes  reconciler.alarm, one row a meter and kind while it stands. Of an acknowledged one it keeps the least that
--         there has been of it since, in number and in USD: what is more than that in either rings anew, as if it were
--         new. The subquery has no row then, so that all it sets becomes NULL.
INSERT INTO reconciler.alarm AS known (meter, kind, message, extent, cost)
VALUES (%(meter)s, %(kind)s, %(message)s, %(extent)s, %(cost)s)
ON CONFLICT (meter, kind) WHERE cleared_at IS NULL DO UPDATE
SET message = excluded.message,
    extent = excluded.extent,
    cost = excluded.cost,
    seen_at = clock_timestamp(),
    (acknowledged_at, least_extent, least_cost, reason, shown_at, told_at, telling_until) = (
        SELECT known.acknowledged_at,
               CASE WHEN known.acknowledged_at IS NOT NULL THEN least(known.least_extent, excluded.extent) END,
               CASE WHEN known.acknowledged_at IS NOT NULL THEN least(known.least_cost, excluded.cost) END,
               known.reason, known.shown_at, known.told_at, known.telling_until
        WHERE known.acknowledged_at IS NULL
           OR (excluded.extent <= known.least_extent
               AND excluded.cost <= coalesce(known.least_cost, excluded.cost)))
