-- event_id: an event's id: the first field of its payload, at the place where plan.sql has put it. A fragment of
-- statements that read reconciler.event.
substr(payload, 20, 67)
