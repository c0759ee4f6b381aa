-- start_over: makes a meter that has billed nothing what it would be, had it been made with its new settings.
--
-- Reads   reconciler.event and reconciler.takeover: a meter with any of them is left alone, whoever asks.
-- Writes  reconciler.meter. Deletes the meter's terms, which the caller states anew, and what looks saw. Backfills
--         of windows before the start begin again, in whole windows of the new length.
-- Returns one row if it was done.
WITH known AS (
    SELECT name, date_bin(%(length)s::interval, start, timestamptz '1970-01-01Z') AS start
    FROM reconciler.meter
    WHERE name = %(meter)s
      AND NOT EXISTS (SELECT FROM reconciler.event WHERE event.meter = name)
      AND NOT EXISTS (SELECT FROM reconciler.takeover WHERE takeover.meter = name)
), terms_gone AS (
    DELETE FROM reconciler.terms WHERE meter IN (SELECT name FROM known)
), windows_gone AS (
    DELETE FROM reconciler."window" WHERE meter IN (SELECT name FROM known)
), unbilled_gone AS (
    DELETE FROM reconciler.unbilled WHERE meter IN (SELECT name FROM known)
), begun AS (
    SELECT look.id,
           date_bin(%(length)s::interval, look.since, timestamptz '1970-01-01Z') AS since,
           least(known.start,
                 date_bin(%(length)s::interval, look.until - interval '1 microsecond', timestamptz '1970-01-01Z')
                     + %(length)s::interval) AS until,
           kind = 'backfill' AND look.since < known.start AS again
    FROM reconciler.look JOIN known ON known.name = look.meter
), looks_again AS (
    UPDATE reconciler.look
    SET since = CASE WHEN again THEN begun.since ELSE look.since END,
        until = CASE WHEN again THEN begun.until ELSE look.until END,
        position = CASE WHEN again THEN begun.since ELSE look.position END,
        finished_at = CASE WHEN again THEN NULL ELSE coalesce(finished_at, clock_timestamp()) END
    FROM begun
    WHERE look.id = begun.id AND (again OR finished_at IS NULL)
)
UPDATE reconciler.meter
SET start = known.start,
    watermark = greatest(known.start,
                         date_bin(%(length)s::interval, %(first_row)s::timestamptz, timestamptz '1970-01-01Z')),
    purge_mark = CASE WHEN source = %(source)s THEN purge_mark END,
    source = %(source)s,
    organization = CASE WHEN lago = %(lago)s THEN organization END,
    lago = %(lago)s
FROM known
WHERE meter.name = known.name
RETURNING meter.name
