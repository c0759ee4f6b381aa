-- taking: what is to be taken over, a row a bucket, for the time of a transaction.
--
-- Reads   the temp tables requests and matched: rows with windows in [since, until) that this meter bills. The measures are
--         the rows' own.
CREATE TEMP TABLE taking ON COMMIT DROP AS
SELECT window_start, customer, model,
       sha256(convert_to(concat(octet_length(convert_to(customer, 'UTF8')), ':', customer,
                                octet_length(convert_to(model, 'UTF8')), ':', model), 'UTF8')) AS bucket,
       sum(input_tokens)::bigint AS input_tokens,
       sum(output_tokens)::bigint AS output_tokens,
       sum(cost) AS cost,
       count(*) AS requests,
       true AS fits
FROM pg_temp.matched JOIN pg_temp.requests USING (window_start, number)
WHERE NOT before
  AND verdict IN ('billable', 'unpriced')
  AND window_start >= %(since)s
  AND window_start < %(until)s
GROUP BY window_start, customer, model
