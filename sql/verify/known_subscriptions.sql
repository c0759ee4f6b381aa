-- known_subscriptions: what the ledger knows of subscriptions, if it is still good.
--
-- Returns one row for each that external ids have and had; of those that Lago does not know the status is `none`.
SELECT external_id, external_customer_id, status, greatest(started_at, period_started_at) AS since,
       started_at >= coalesce(period_started_at, started_at) AS is_first
FROM reconciler.subscription
WHERE lago = %(lago)s
  AND organization = %(organization)s
  AND good_until > clock_timestamp()
  AND external_id = ANY(%(external_ids)s)
