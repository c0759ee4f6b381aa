-- before: what was taken over before, for matching.py: events and the rows of their buckets, so that each event finds a row of
-- its bucket again. What says the same is the same here, whichever of it was meant then.
--
-- Reads   the temp tables requests and counted.
-- Returns rows and events, bucket by bucket in the order of time. `since` is the moment of an event, and the first of a row's.
WITH pinned AS (
    SELECT requests.*,
           sha256(convert_to(concat(octet_length(convert_to(customer, 'UTF8')), ':', customer,
                                    octet_length(convert_to(model, 'UTF8')), ':', model), 'UTF8')) AS bucket
    FROM pg_temp.requests
    WHERE window_start IN (SELECT window_start FROM pg_temp.counted)
)
SELECT concat(extract(epoch FROM window_start), encode(bucket, 'hex')) COLLATE "C" AS customer,
       started_at - %(skew)s::interval AS since, ended_at + %(slack)s::interval AS until, NULL::uuid AS id,
       window_start, number, name, group_name, call_type, input_tokens, output_tokens, cost
FROM pinned
UNION ALL
SELECT concat(extract(epoch FROM window_start), encode(bucket, 'hex')) COLLATE "C", moment, NULL, id,
       NULL, NULL, model, NULL, NULL, input_tokens, output_tokens, coalesce(cost, 0)
FROM pg_temp.counted
WHERE bucket IS NOT NULL
ORDER BY customer, since, id NULLS FIRST, window_start, number
