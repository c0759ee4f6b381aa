-- note_asked: Lago has been asked about windows, to their ends (done) or in part (begun).
--
-- Locks in the order of starts, as record_windows.sql does: so a pass that plans and one that asks can't lock each other
-- out.
WITH ours AS (
    SELECT meter, start
    FROM reconciler."window"
    WHERE meter = %(meter)s AND start = ANY(%(done)s::timestamptz[] || %(begun)s::timestamptz[]) AND asked_at IS NULL
    ORDER BY start
    FOR UPDATE
)
UPDATE reconciler."window"
SET asked_at = CASE WHEN "window".start = ANY(%(done)s::timestamptz[]) THEN clock_timestamp() END,
    asked_until = CASE WHEN "window".start = ANY(%(begun)s::timestamptz[]) THEN %(until)s ELSE asked_until END
FROM ours
WHERE "window".meter = ours.meter AND "window".start = ours.start
