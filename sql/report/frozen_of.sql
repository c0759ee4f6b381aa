-- frozen_of: the frozen buckets of a subscription, as the last looks saw them.
--
-- Reads   whose buckets are frozen, by window, above the purge mark; and whose events of these windows went to the
--         subscription. A window's buckets of one customer are told together.
-- Returns one row: how many buckets, by how much their source totals are below what is billed (USD; NULL if there are
--         none), and their oldest and newest windows.
SELECT coalesce(sum(unbilled.buckets), 0)::bigint, sum(unbilled.cost), min(unbilled.window_start),
       max(unbilled.window_start)
FROM reconciler.unbilled
     JOIN reconciler.meter ON meter.name = unbilled.meter
WHERE unbilled.meter = %(meter)s
  AND unbilled.why = 'frozen'
  AND unbilled.window_start > coalesce(meter.purge_mark, '-infinity')
  AND EXISTS (SELECT FROM reconciler.event
              WHERE event.meter = unbilled.meter
                AND event.window_start = unbilled.window_start
                AND event.subscription = %(subscription)s
                AND sha256(convert_to(event.customer, 'UTF8')) = unbilled.id)
