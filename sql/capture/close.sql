-- close: plans what a subscription's customers have used in a window that is still open, up to an instant.
--
-- Reads   the temp table totals: what the source says of the window up to the instant (until).
-- Writes  the meter's purge mark (compared.sql), events and their batches (planned.sql), and that the window was looked at
--         in part (open_window.sql). What else the window holds, a pass records when it is settled.
-- Returns one row: how many events, how many rows they are of, and their cost.
WITH {compared}, {planned}, opened AS (
{open_window}
)
SELECT count(*) AS events_planned,
       coalesce(sum(requests), 0)::bigint AS rows,
       coalesce(sum(cost), 0) AS cost_planned
FROM due
