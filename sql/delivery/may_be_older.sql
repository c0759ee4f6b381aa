-- may_be_older: whether this ledger may be older than what Lago has seen of its meter. It may if it lies elsewhere than
-- when batches were last let through: it was restored from a dump, moved, or its server has failed over or was restored.
-- Or if that was longer ago than good_for: a snapshot of the whole machine leaves no other trace.
--
-- Reads   reconciler.meter.
-- Returns where the ledger lies now, and whether it may be older.
SELECT here.place, meter.place IS DISTINCT FROM here.place
                   OR meter.placed_at < clock_timestamp() - %(good_for)s::interval AS may_be_older
FROM reconciler.meter,
     (SELECT concat_ws(' ', (SELECT system_identifier FROM pg_control_system()),
                            (SELECT oid FROM pg_database WHERE datname = current_database()),
                            'reconciler.event'::regclass::oid,
                            (SELECT timeline_id FROM pg_control_checkpoint())) AS place) AS here
WHERE meter.name = %(meter)s
