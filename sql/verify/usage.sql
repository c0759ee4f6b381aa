-- usage: what accepted events of a code come to, and those of LiteLLM's callback that were taken over, for each of many periods of subscriptions.
--
-- Reads   arrays: whose period, from when and up to when (exclusive). The events of all meters that send to this
--         organization, with windows in [first, last). An event lies in a period by its timestamp, as Lago has it.
--         Of all customers, or of one of a meter.
-- Returns one row for each period with events, by its number from 1 on: how many events Lago is to count, their units,
--         how many of these were accepted up to a moment, when the last was accepted, and how much of all is the callback's.
--         An event without the property that the metric sums is not counted.
SELECT number,
       count(*) FILTER (WHERE is_counted) AS events,
       coalesce(sum(units) FILTER (WHERE is_counted), 0) AS units,
       count(*) FILTER (WHERE is_counted AND answered_at <= %(settled)s) AS settled,
       max(answered_at) AS answered_at,
       count(*) FILTER (WHERE is_counted AND is_taken) AS taken_events,
       coalesce(sum(units) FILTER (WHERE is_counted AND is_taken), 0) AS taken_units
FROM unnest(%(subscriptions)s::text[], %(since)s::timestamptz[], %(until)s::timestamptz[])
         WITH ORDINALITY AS period (subscription, since, until, number)
     JOIN (SELECT event.subscription, batch.answered_at,
                  to_timestamp(split_part(split_part(payload, ',"timestamp":"', 2), '"', 1)::float8) AS moment,
                  position(%(property)s in payload) > 0 AS is_counted,
                  CASE %(measure)s WHEN 'input' THEN event.input_tokens
                                   WHEN 'output' THEN event.output_tokens
                                   WHEN 'total' THEN event.input_tokens + event.output_tokens
                                   WHEN 'requests' THEN event.requests
                                   WHEN 'cost' THEN event.cost
                                   ELSE 0 END AS units,
                  false AS is_taken
           FROM reconciler.event JOIN reconciler.batch ON batch.id = event.batch
           WHERE event.meter IN (SELECT name FROM reconciler.meter
                                 WHERE lago = %(lago)s AND organization IS NOT DISTINCT FROM %(organization)s)
             AND event.window_start >= %(first)s
             AND event.window_start < %(last)s
             AND batch.state = 'accepted'
             AND (%(customer)s::text IS NULL OR (event.meter = %(meter)s AND customer = %(customer)s::text))
             AND position(concat(',"code":', to_json(%(code)s::text)) in payload) > 0
           UNION ALL
           SELECT subscription, seen_at, moment,
                  CASE %(property)s WHEN '"response_cost":' THEN cost IS NOT NULL
                                    WHEN '"prompt_tokens":' THEN input_tokens IS NOT NULL
                                    WHEN '"completion_tokens":' THEN output_tokens IS NOT NULL
                                    WHEN '"total_tokens":' THEN total_tokens IS NOT NULL
                                    ELSE %(property)s IN ('"transaction_id":', '"model":') END,
                  CASE %(measure)s WHEN 'input' THEN input_tokens
                                   WHEN 'output' THEN output_tokens
                                   WHEN 'total' THEN total_tokens
                                   WHEN 'cost' THEN cost
                                   ELSE 0 END,
                  true
           FROM reconciler.callback_event
           WHERE meter IN (SELECT name FROM reconciler.meter
                           WHERE lago = %(lago)s AND organization IS NOT DISTINCT FROM %(organization)s)
             AND moment >= %(first)s
             AND moment < %(last)s
             AND bucket IS NOT NULL
             AND code = %(code)s
             AND (%(customer)s::text IS NULL OR (meter = %(meter)s AND subscription = %(customer)s::text))) AS sent
          ON sent.subscription = period.subscription AND moment >= period.since AND moment < period.until
GROUP BY number
