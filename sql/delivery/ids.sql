-- ids: the ids of a batch's events, in the order of their places.
--
-- Returns one row an event.
SELECT {event_id}
FROM reconciler.event
WHERE batch = %(batch)s
ORDER BY window_start, bucket, revision
