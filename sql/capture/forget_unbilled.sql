-- forget_unbilled: forgets whose usage was not billed and is now, or is no longer there.
--
-- Reads   unbilled (found_unbilled.sql), customers (unbilled_customers.sql) and mark. What retention has deleted of
--         unmapped customers was never billed: it stays until its customer is mapped.
-- Writes  reconciler.unbilled.
DELETE FROM reconciler.unbilled AS known
USING mark
WHERE known.meter = %(meter)s
  AND known.window_start >= %(since)s
  AND known.window_start < %(until)s
  AND (known.why <> 'unmapped'
       OR coalesce(known.window_start > mark.purge_mark, true)
       OR (known.window_start, known.id) IN (SELECT window_start, id FROM customers WHERE why = 'plan'))
  AND (known.window_start, known.why, known.id) NOT IN (SELECT window_start, why, id FROM unbilled)
