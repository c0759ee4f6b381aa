-- open: what is left to be matched, for matching.py: rows and events that are not matched yet.
--
-- Reads   the temp tables requests, counted and matched. Events that Lago does not count bill nothing.
-- Returns rows and events, customer by customer in the order of time. `since` is the moment of an event, and the first of a
--         row's.
SELECT customer COLLATE "C" AS customer,
       started_at - %(skew)s::interval AS since, ended_at + %(slack)s::interval AS until, NULL::uuid AS id,
       window_start, number, name, group_name, call_type, input_tokens, output_tokens, cost
FROM pg_temp.requests
WHERE NOT EXISTS (SELECT FROM pg_temp.matched
                  WHERE matched.window_start = requests.window_start AND matched.number = requests.number)
UNION ALL
SELECT subscription COLLATE "C", moment, NULL, id, NULL, NULL, model, NULL, NULL, input_tokens, output_tokens, coalesce(cost, 0)
FROM pg_temp.counted
WHERE bucket IS NULL AND is_counted
ORDER BY customer, since, id NULLS FIRST, window_start, number
