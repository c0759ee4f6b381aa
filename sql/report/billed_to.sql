-- billed_to: where one customer's usage of windows in [since, until) went, events and what was taken over of LiteLLM's
-- callback.
--
-- Reads   the customer's events, and what was taken over, which the callback sends to the customer's own name.
-- Returns one row: the first window, NULL if nothing is billed; and the subscriptions, in order.
SELECT min(window_start), coalesce(array_agg(DISTINCT subscription COLLATE "C" ORDER BY subscription COLLATE "C"), '{}')
FROM (SELECT window_start, subscription
      FROM reconciler.event
      WHERE meter = %(meter)s AND window_start >= %(since)s AND window_start < %(until)s AND customer = %(customer)s
      UNION ALL
      SELECT window_start, customer
      FROM reconciler.takeover
      WHERE meter = %(meter)s AND window_start >= %(since)s AND window_start < %(until)s AND customer = %(customer)s
     ) AS billed
