-- unfit: which buckets the callback has billed, and this meter, too: what is not billed of them is less than what is to be
-- taken over.
--
-- Reads   the temp table taking; what differs (compared.sql): run it where that is undone.
-- Returns one row a bucket.
WITH {compared}
SELECT window_start, bucket, taking.requests, taking.cost
FROM pg_temp.taking LEFT JOIN delta USING (window_start, customer, model)
WHERE window_start >= %(since)s
  AND window_start < %(until)s
  AND (taking.input_tokens > coalesce(delta.input_tokens, 0)
       OR taking.output_tokens > coalesce(delta.output_tokens, 0)
       OR taking.cost > coalesce(delta.cost, 0)
       OR taking.requests > delta.requests)
