-- forget_unmapped: forgets usage without a subscription that has one now, or that is no longer there.
--
-- Reads   customers, as unmapped_customers.sql returns it, and mark. What retention has deleted was never billed: it
--         stays until its customer is mapped.
-- Writes  reconciler.unmapped.
DELETE FROM reconciler.unmapped
USING mark
WHERE unmapped.meter = %(meter)s
  AND unmapped.window_start >= %(since)s
  AND unmapped.window_start < %(until)s
  AND (coalesce(unmapped.window_start > mark.purge_mark, true)
       OR (unmapped.window_start, unmapped.id) IN (SELECT window_start, id FROM customers WHERE fate = 'plan'))
  AND (unmapped.window_start, unmapped.id) NOT IN (SELECT window_start, id FROM customers WHERE fate = 'unmapped')
