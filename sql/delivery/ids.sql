-- ids: the ids of a batch's events, in the order of their places.
--
-- Returns one row an event; its id is the first field of its payload, at the place where plan.sql has put it.
SELECT substr(payload, 20, 67)
FROM reconciler.event
WHERE batch = %(batch)s
ORDER BY window_start, bucket, revision
