-- move_event: give an event that Lago does not have another timestamp, because its billing period is closed.
--
-- Writes  the payload; from here on it is frozen again. Returns it, unless someone else has claimed the event since.
UPDATE reconciler.event
SET payload = regexp_replace(payload, ',"timestamp":"[0-9]+[.][0-9]{3}"', ',"timestamp":"' || %(timestamp)s || '"')
WHERE meter = %(meter)s
  AND window_start = %(window_start)s
  AND bucket = %(bucket)s
  AND revision = %(revision)s
  AND open_since = %(mark)s
  AND state = 'planned'
RETURNING payload
