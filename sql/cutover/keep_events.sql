-- keep_events: keeps events of LiteLLM's callback as Lago shows them. One that is kept already stays as it is.
INSERT INTO reconciler.callback_event (meter, id, code, subscription, moment, model,
                                       input_tokens, output_tokens, total_tokens, cost)
SELECT %(meter)s, shown.*
FROM unnest(%(ids)s::uuid[], %(codes)s::text[], %(subscriptions)s::text[], %(moments)s::timestamptz[], %(models)s::text[],
            %(input_tokens)s::bigint[], %(output_tokens)s::bigint[], %(total_tokens)s::bigint[], %(costs)s::numeric[]) AS shown
ORDER BY 2
ON CONFLICT DO NOTHING
RETURNING id
