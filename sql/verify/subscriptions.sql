-- subscriptions: whose usage a meter has sent, or has taken over of LiteLLM's callback, those with batches in doubt first,
-- then those with most.
--
-- Reads   the events of accepted batches with windows in [since, until), and what was taken over of these.
-- Returns one row a subscription. In doubt is what unverified.sql says.
SELECT subscription
FROM (SELECT subscription, event.cost, doubtful
      FROM reconciler.event
           JOIN (SELECT id,
                        attempts > 1 OR decided_at IS NOT NULL OR answered_at > last_window + interval '1 day' AS doubtful
                 FROM reconciler.batch
                 WHERE meter = %(meter)s
                   AND state = 'accepted'
                   AND first_window < %(until)s
                   AND last_window >= %(since)s) AS batch
                ON batch.id = event.batch
      WHERE event.meter = %(meter)s AND window_start >= %(since)s AND window_start < %(until)s
      UNION ALL
      SELECT customer, cost, false
      FROM reconciler.takeover
      WHERE meter = %(meter)s AND window_start >= %(since)s AND window_start < %(until)s) AS billed
GROUP BY subscription
ORDER BY bool_or(doubtful) DESC, sum(cost) DESC
