-- keep_billed_periods: the ended periods of subscriptions, each up to a moment, were found billed as they were sent.
INSERT INTO reconciler.billed_period (meter, id, external_id, until, verified_at)
SELECT %(meter)s, sha256(convert_to(external_id, 'UTF8')), external_id, until, %(verified_at)s
FROM unnest(%(external_ids)s::text[], %(until)s::timestamptz[]) AS found (external_id, until)
ORDER BY 2
ON CONFLICT (meter, id) DO UPDATE SET until = excluded.until, verified_at = excluded.verified_at
RETURNING id
