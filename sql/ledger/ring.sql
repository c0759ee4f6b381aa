-- ring: raises an alarm, or refreshes the one that stands; if it has outgrown its acknowledgement it rings again.
--
-- Writes  reconciler.alarm, one row a meter and kind while it stands.
INSERT INTO reconciler.alarm AS known (meter, kind, message, extent)
VALUES (%(meter)s, %(kind)s, %(message)s, %(extent)s)
ON CONFLICT (meter, kind) WHERE cleared_at IS NULL DO UPDATE
SET message = excluded.message,
    extent = excluded.extent,
    seen_at = clock_timestamp(),
    acknowledged_at = CASE WHEN excluded.extent > known.acknowledged_extent THEN NULL ELSE known.acknowledged_at END,
    acknowledged_extent = CASE WHEN excluded.extent > known.acknowledged_extent THEN NULL
                               ELSE known.acknowledged_extent END,
    reason = CASE WHEN excluded.extent > known.acknowledged_extent THEN NULL ELSE known.reason END
