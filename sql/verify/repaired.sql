-- repaired: notes of batches that they were taken back, as Lago did not hold their events as they were sent.
--
-- Writes  repaired_at; the attempt as open, where Lago may yet show them, so that it is asked once more if a repetition
--         would count twice; no word of the gate's, so that it judges them anew; nor that they were verified: that
--         takes a later read back.
UPDATE reconciler.batch
SET repaired_at = clock_timestamp(),
    open_since = CASE WHEN %(is_open)s THEN clock_timestamp() END,
    admitted_at = NULL,
    verified_at = NULL
WHERE id = ANY(%(batches)s)
