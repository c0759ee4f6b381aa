-- credits: the credits of a meter, or of one of its customers, that nobody has undone, oldest window first.
--
-- Returns one row a credit. Long names are cut and say so.
SELECT meter, window_start, bucket, number,
       CASE WHEN length(customer) <= 200 THEN customer
            ELSE concat(left(customer, 200), '… (', length(customer), ' characters)') END AS customer,
       CASE WHEN length(model) <= 200 THEN model
            ELSE concat(left(model, 200), '… (', length(model), ' characters)') END AS model,
       input_tokens, output_tokens, cost, requests, accepted_at, accepted_by, reason
FROM reconciler.credit
WHERE meter = %(meter)s AND undone_at IS NULL AND (%(customer)s::text IS NULL OR customer = %(customer)s::text)
ORDER BY window_start, bucket, number
