-- planned: puts deltas into batches and keeps these, with an event for each. The part of a statement that plans.
--
-- Reads   delta: what is to be planned, or may be.
-- Writes  batches and their events, by fragments: place.sql, batches.sql, record_batches.sql and plan.sql, or those of
--         sql/move. In a dry run nothing.
-- Returns due: the deltas that are planned; batch: their batches.
due AS MATERIALIZED (
{place}
), batch AS MATERIALIZED (
{batches}
), batched AS (
{record_batches}
), event_of_due AS (
{plan}
)
