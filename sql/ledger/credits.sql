-- credits: the credits of a meter that nobody has undone, oldest window first.
--
-- Returns one row a credit. Names are cut, since they may be as long as the proxy takes.
SELECT meter, window_start, bucket, number, left(customer, 200) AS customer, left(model, 200) AS model,
       input_tokens, output_tokens, cost, requests, accepted_at, accepted_by, reason
FROM reconciler.credit
WHERE meter = %(meter)s AND undone_at IS NULL
ORDER BY window_start, bucket, number
