-- move_events: give events that Lago does not have another timestamp, because their billing period is closed.
--
-- Reads   the batch, if it is still in the state and at the attempt that the caller saw, with all of its events, and was
--         never on its way; arrays of places in it and of timestamps, seconds as text.
-- Writes  the payloads; from here on they are frozen again. It is the one exception to "event rows never change".
WITH ours AS (
    SELECT id FROM reconciler.batch
    WHERE id = %(id)s AND attempts = %(attempt)s AND state = %(state)s AND events = %(events)s AND open_since IS NULL
    FOR UPDATE
), placed AS (
    SELECT event.*, row_number() OVER (ORDER BY window_start, bucket, revision) - 1 AS place
    FROM ours JOIN reconciler.event ON event.batch = ours.id
)
UPDATE reconciler.event
SET payload = regexp_replace(event.payload, ',"timestamp":"-?[0-9]+[.][0-9]+"', ',"timestamp":"' || moved.stamp || '"')
FROM placed JOIN unnest(%(places)s::int[], %(stamps)s::text[]) AS moved (place, stamp) USING (place)
WHERE event.meter = placed.meter
  AND event.window_start = placed.window_start
  AND event.bucket = placed.bucket
  AND event.revision = placed.revision
