-- open_window: notes up to which instant a window was looked at while it was open, for one subscription.
--
-- Reads   due, as place.sql returns it: what is to be sent of it.
-- Writes  reconciler."window": without figures, which are a whole window's. One that a pass has seen whole stays whole.
INSERT INTO reconciler."window" AS known (
    meter, start, rows, requests, cost, unattributed_rows, unattributed_cost, suspect_rows,
    frozen_buckets, frozen_cost, unmapped_buckets, unmapped_cost, late_rows, late_cost, open_until)
SELECT %(meter)s, %(since)s, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, %(until)s
WHERE EXISTS (SELECT FROM due)
ON CONFLICT (meter, start) DO UPDATE
SET open_until = greatest(known.open_until, excluded.open_until)
WHERE known.open_until IS NOT NULL
