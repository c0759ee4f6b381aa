-- look_is_due: whether so much time has gone by since a look of that kind was last done, or since the meter was made.
--
-- Reads   reconciler.look, reconciler.meter, the ledger's clock.
-- Returns one row.
SELECT clock_timestamp() - coalesce((SELECT max(finished_at) FROM reconciler.look
                                     WHERE meter = %(meter)s AND kind = %(kind)s),
                                    (SELECT created_at FROM reconciler.meter
                                     WHERE name = %(meter)s)) >= %(pause)s::interval
