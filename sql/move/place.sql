-- place: which batch each event of a move goes in: both halves of a pair in the same, so that Lago takes both or none.
--
-- Reads   delta, as compensate.sql has it; the batches' size is even.
-- Returns due: as sql/capture/place.sql does. Events of one lot share their day (UTC). All wait for earlier revisions.
SELECT delta.*, false AS conflict, true AS under_way, lot,
       (row_number() OVER (PARTITION BY lot ORDER BY window_start, model, revision) - 1)
           / CASE WHEN long THEN 1 ELSE %(batch_size)s END AS place
FROM delta,
     LATERAL (SELECT 2 * floor(extract(epoch FROM window_start) / 86400)::int + long::int AS lot) AS lot_of_delta
