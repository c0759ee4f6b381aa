-- ring: raises an alarm, or refreshes the one that stands; if it has outgrown its acknowledgement it rings again.
--
-- Writes  reconciler.alarm, one row a meter and kind while it stands. Of an acknowledged one it keeps the least that
--         there has been of it since, in number and in USD: what is more than that in either rings anew, as if nobody
--         had acknowledged it.
INSERT INTO reconciler.alarm AS known (meter, kind, message, extent, cost)
VALUES (%(meter)s, %(kind)s, %(message)s, %(extent)s, %(cost)s)
ON CONFLICT (meter, kind) WHERE cleared_at IS NULL DO UPDATE
SET message = excluded.message,
    extent = excluded.extent,
    cost = excluded.cost,
    seen_at = clock_timestamp(),
    (rang_at, acknowledged_at, least_extent, least_cost, reason) = (
        SELECT CASE WHEN rings THEN clock_timestamp() ELSE known.rang_at END,
               CASE WHEN quiet THEN known.acknowledged_at END,
               CASE WHEN quiet THEN least(known.least_extent, excluded.extent) END,
               CASE WHEN quiet THEN least(known.least_cost, excluded.cost) END,
               CASE WHEN quiet THEN known.reason END
        FROM (SELECT known.acknowledged_at IS NOT NULL AND grown AS rings,
                     known.acknowledged_at IS NOT NULL AND NOT grown AS quiet
              FROM (SELECT excluded.extent > known.least_extent
                           OR excluded.cost > coalesce(known.least_cost, excluded.cost) AS grown) AS growth) AS turn)
