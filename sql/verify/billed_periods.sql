-- billed_periods: up to where the ended periods of subscriptions were found billed, and when.
SELECT external_id, until, verified_at
FROM reconciler.billed_period
WHERE meter = %(meter)s AND external_id = ANY(%(external_ids)s)
