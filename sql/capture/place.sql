-- place: which batch each planned event goes in. A batch is what Lago gets in one request.
--
-- Reads   delta, as compare.sql returns it.
-- Returns due: the deltas to plan in the order of their windows, each with its lot and its place among the batches of
--         that lot. Events of one lot share their fate and their day (UTC): held behind a conflict, behind an earlier
--         revision that is still on its way, with names so long that each goes alone, or none of these.
SELECT due.*,
       (row_number() OVER (PARTITION BY lot ORDER BY window_start) - 1)
           / CASE WHEN long THEN 1 ELSE %(batch_size)s END AS place
FROM (SELECT delta.*,
             octet_length(customer) + octet_length(model) + octet_length(subscription) > 2000 AS long,
             8 * floor(extract(epoch FROM window_start) / 86400)::int
                 + CASE WHEN conflict THEN 4 WHEN under_way THEN 2 ELSE 0 END
                 + (octet_length(customer) + octet_length(model) + octet_length(subscription) > 2000)::int AS lot
      FROM delta
      WHERE fate = 'plan') AS due
