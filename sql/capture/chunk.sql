-- chunk: compares, plans and records a chunk, all in one statement and so of one snapshot,
--         taken after the meter's turn and the source's totals.
--
-- Reads   the temp table totals: what the source says. No table that others own is read here.
-- Writes  the meter's purge mark (compared.sql), its events and their batches (planned.sql), its windows (record_windows.sql),
--         whose usage is not billed (unbilled_customers.sql, found_unbilled.sql, forget_unbilled.sql, record_unbilled.sql).
-- Returns one row: the sums that the run's summary shows; and if the mark has just moved to where no look had come,
--         that mark and the watermark.
WITH {compared}, {planned}, customers AS MATERIALIZED (
{unbilled_customers}
), looked AS MATERIALIZED (
{look_at_windows}
), recorded AS (
{record_windows}
), unbilled AS MATERIALIZED (
{found_unbilled}
), forgotten AS (
{forget_unbilled}
), kept AS (
{record_unbilled}
)
SELECT count(*) AS windows,
       coalesce(sum(planned_events), 0)::bigint AS events_planned,
       coalesce(sum(planned_rows), 0)::bigint AS rows,
       coalesce(sum(planned_cost), 0) AS cost_planned,
       coalesce(sum(unattributed_rows), 0)::bigint AS unattributed_rows,
       coalesce(sum(unattributed_cost), 0) AS unattributed_cost,
       coalesce(sum(suspect_rows), 0)::bigint AS suspect_rows,
       coalesce(sum(frozen_buckets), 0)::bigint AS frozen_buckets,
       coalesce(sum(unmapped_buckets), 0)::bigint AS unmapped_buckets,
       coalesce(sum(unmapped_cost), 0) AS unmapped_cost,
       coalesce(sum(late_rows), 0)::bigint AS late_rows,
       coalesce(sum(late_cost), 0) AS late_cost,
       (SELECT purge_mark FROM moved WHERE purge_mark >= watermark) AS overtaken,
       (SELECT watermark FROM moved) AS watermark
FROM looked
