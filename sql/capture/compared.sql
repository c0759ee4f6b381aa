-- compared: how far retention has come, and what differs. Begins a statement: WITH {compared}.
--
-- Reads   the temp table totals, what the ledger has billed (compare.sql).
-- Writes  the meter's purge mark (purge_mark.sql). Who only wants to know undoes that.
-- Returns moved: the mark and the watermark, if the mark has moved; mark: where it is now, and where it was before; delta.
moved AS (
{purge_mark}
), mark AS MATERIALIZED (
    SELECT coalesce((SELECT purge_mark FROM moved), purge_mark) AS purge_mark, purge_mark AS before
    FROM reconciler.meter
    WHERE name = %(meter)s
), delta AS MATERIALIZED (
{compare}
)
