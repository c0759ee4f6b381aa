-- customers: what was billed for each customer from a window on and what has become of it, those with the most cost first.
--
-- Reads   the events of these windows, of one meter or of all (NULL), their batches and credits, what was taken over,
--         what was sent without a subscription, and the mirror: what Lago told of a name when it was last asked. It can
--         leave out all whose usage a subscription covers.
-- Returns one row a meter, customer and subscription, at most so many (NULL is all). Long names are cut and say so.
SELECT billed.meter,
       CASE WHEN length(customer) <= 200 THEN customer
            ELSE concat(left(customer, 200), '… (', length(customer), ' characters)') END AS customer,
       CASE WHEN length(subscription) <= 200 THEN subscription
            ELSE concat(left(subscription, 200), '… (', length(subscription), ' characters)') END AS subscription,
       told.status,
       events, requests, input_tokens, output_tokens, cost, planned_cost, held_cost, quarantined_cost, discarded_cost,
       taken_over_cost, coalesce(credited_cost, 0) AS credited_cost, first_window, last_window
FROM (SELECT meter,
             customer,
             subscription,
             count(*) FILTER (WHERE state <> 'taken over') AS events,
             coalesce(sum(requests) FILTER (WHERE state <> 'taken over'), 0)::bigint AS requests,
             coalesce(sum(input_tokens) FILTER (WHERE state <> 'taken over'), 0)::bigint AS input_tokens,
             coalesce(sum(output_tokens) FILTER (WHERE state <> 'taken over'), 0)::bigint AS output_tokens,
             coalesce(sum(cost) FILTER (WHERE state <> 'taken over'), 0) AS cost,
             coalesce(sum(cost) FILTER (WHERE state = 'planned'), 0) AS planned_cost,
             coalesce(sum(cost) FILTER (WHERE state = 'held'), 0) AS held_cost,
             coalesce(sum(cost) FILTER (WHERE state = 'quarantined'), 0) AS quarantined_cost,
             coalesce(sum(cost) FILTER (WHERE state = 'discarded'), 0) AS discarded_cost,
             coalesce(sum(cost) FILTER (WHERE state = 'taken over'), 0) AS taken_over_cost,
             min(window_start) AS first_window,
             max(window_start) AS last_window
      FROM (SELECT event.meter, customer, subscription, state, window_start,
                   event.requests, event.input_tokens, event.output_tokens, event.cost
            FROM reconciler.event JOIN reconciler.batch ON batch.id = event.batch
            WHERE (%(meter)s::text IS NULL OR event.meter = %(meter)s::text) AND window_start >= %(since)s
            UNION ALL
            -- LiteLLM's callback sends to the customer's own name.
            SELECT meter, customer, customer, 'taken over', window_start, requests, input_tokens, output_tokens, cost
            FROM reconciler.takeover
            WHERE (%(meter)s::text IS NULL OR meter = %(meter)s::text) AND window_start >= %(since)s) AS entry
      GROUP BY meter, customer, subscription) AS billed
     -- What was credited in Lago by hand, where the last event of the bucket went.
     LEFT JOIN (SELECT credit.meter, credit.customer, subscription, sum(credit.cost) AS credited_cost
                FROM reconciler.credit
                     CROSS JOIN LATERAL (SELECT subscription
                                         FROM reconciler.event
                                         WHERE event.meter = credit.meter
                                           AND event.window_start = credit.window_start
                                           AND event.bucket = credit.bucket
                                         ORDER BY revision DESC
                                         LIMIT 1) AS last
                WHERE undone_at IS NULL AND window_start >= %(since)s
                GROUP BY credit.meter, credit.customer, subscription) AS credited USING (meter, customer, subscription)
     JOIN reconciler.meter ON meter.name = billed.meter
     LEFT JOIN (SELECT lago, organization, external_id,
                       CASE WHEN bool_or(status = 'active') THEN 'active'
                            WHEN bool_or(status = 'terminated') THEN 'ended'
                            ELSE 'none' END AS status
                FROM reconciler.subscription
                GROUP BY lago, organization, external_id) AS mirror
          ON mirror.lago = meter.lago
             AND mirror.organization = coalesce(meter.organization, '')
             AND mirror.external_id = billed.subscription
     LEFT JOIN (SELECT meter, external_id, began_at FROM reconciler.unsubscribed) AS uncovered
          ON uncovered.meter = billed.meter AND uncovered.external_id = billed.subscription,
     LATERAL (SELECT CASE WHEN uncovered.began_at IS NOT NULL THEN 'began later'
                          WHEN uncovered.meter IS NOT NULL THEN 'none'
                          ELSE coalesce(mirror.status, 'not asked') END AS status) AS told
WHERE NOT %(unsubscribed)s
   OR (told.status IN ('none', 'began later')
       -- What was moved away leaves nothing.
       AND (requests, input_tokens, output_tokens, cost) IS DISTINCT FROM (0, 0, 0, 0))
ORDER BY cost DESC, billed.meter, customer, subscription
LIMIT %(limit)s::bigint
