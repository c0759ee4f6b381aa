-- ask_anew: forget what Lago was asked about, so that the gate asks again before anything is sent.
--
-- Writes  the meter's windows and its planned batches. In the order of starts and ids, as all that changes several of
--         them does: so passes at once can't lock each other out.
WITH windows AS (
    SELECT meter, start
    FROM reconciler."window"
    WHERE meter = %(meter)s AND (asked_at IS NOT NULL OR asked_until IS NOT NULL)
    ORDER BY start
    FOR UPDATE
), windows_anew AS (
    UPDATE reconciler."window"
    SET asked_at = NULL, asked_until = NULL
    FROM windows
    WHERE "window".meter = windows.meter AND "window".start = windows.start
), batches AS (
    SELECT id
    FROM reconciler.batch
    WHERE meter = %(meter)s AND state = 'planned'
    ORDER BY id
    FOR UPDATE
)
UPDATE reconciler.batch SET asked_at = NULL, admitted_at = NULL FROM batches WHERE batch.id = batches.id
