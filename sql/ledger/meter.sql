-- meter: one meter's state, and by which terms it bills.
--
-- Reads   reconciler.meter and reconciler.terms.
-- Returns a row for each of its terms, the earliest first; no row if there is no such meter.
SELECT name, start, start_chosen, watermark, purge_mark, source, lago, organization,
       since, code, charge_by, window_seconds, model_column, cache_hits, exclude, metric_seen
FROM reconciler.meter JOIN reconciler.terms ON terms.meter = meter.name
WHERE name = %(meter)s
ORDER BY since
