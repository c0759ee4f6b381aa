-- counted: where the ledger has counted rows that retention may have deleted since. What lies before says nothing.
--
-- Reads   reconciler.meter and its windows from the purge mark on.
-- Returns the start of the first window that had rows when it was last looked at; no row if there is none.
SELECT start
FROM reconciler."window"
WHERE meter = %(meter)s
  AND start >= coalesce((SELECT purge_mark FROM reconciler.meter WHERE name = %(meter)s), '-infinity')
  AND rows > 0
ORDER BY start
LIMIT 1
