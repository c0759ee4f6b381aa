-- record_windows: keeps what this look saw of every window.
--
-- Reads   looked, as look_at_windows.sql returns it.
-- Writes  reconciler."window".
INSERT INTO reconciler."window" AS known (
    meter, start, rows, requests, cost, unattributed_rows, unattributed_cost, suspect_rows,
    unpriced_rows, unpriced_tokens, unpriced_models, frozen_buckets, frozen_cost, unmapped_buckets, unmapped_cost,
    kept_requests, late_rows, late_cost)
SELECT %(meter)s, start, rows, requests, cost, unattributed_rows, unattributed_cost, suspect_rows,
       unpriced_rows, unpriced_tokens, unpriced_models, frozen_buckets, frozen_cost, unmapped_buckets, unmapped_cost,
       kept_requests, late_rows, late_cost
FROM looked
ORDER BY start
ON CONFLICT (meter, start) DO UPDATE
SET rows = excluded.rows,
    requests = excluded.requests,
    cost = excluded.cost,
    unattributed_rows = excluded.unattributed_rows,
    unattributed_cost = excluded.unattributed_cost,
    suspect_rows = excluded.suspect_rows,
    unpriced_rows = excluded.unpriced_rows,
    unpriced_tokens = excluded.unpriced_tokens,
    unpriced_models = excluded.unpriced_models,
    frozen_buckets = excluded.frozen_buckets,
    frozen_cost = excluded.frozen_cost,
    unmapped_buckets = excluded.unmapped_buckets,
    unmapped_cost = excluded.unmapped_cost,
    kept_requests = excluded.kept_requests,
    late_rows = excluded.late_rows,
    late_cost = excluded.late_cost,
    open_until = NULL,
    looked_at = clock_timestamp()
