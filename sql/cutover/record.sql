-- record: puts a cut-over on record.
--
-- Reads   the temp tables taking, matched and requests.
-- Writes  reconciler.cutover; reconciler.takeover, a row for each bucket that fits; and of the callback's events the bucket that
--         each is taken over for.
-- Returns how many buckets and events that is.
WITH done AS (
    INSERT INTO reconciler.cutover (meter, since, until, code, done_by, figures)
    VALUES (%(meter)s, %(since)s, %(until)s, %(code)s, %(by)s, %(figures)s)
    RETURNING id
), taken AS (
    INSERT INTO reconciler.takeover (meter, window_start, bucket, cutover, customer, model,
                                     input_tokens, output_tokens, cost, requests)
    SELECT %(meter)s, window_start, bucket, done.id, customer, model,
           input_tokens, output_tokens, trim_scale(cost), requests
    FROM pg_temp.taking, done
    WHERE fits
    RETURNING window_start, bucket
), noted AS (
    UPDATE reconciler.callback_event
    SET window_start = taking.window_start, bucket = taking.bucket
    FROM pg_temp.matched
         JOIN pg_temp.requests USING (window_start, number)
         JOIN pg_temp.taking USING (window_start, customer, model)
    WHERE callback_event.meter = %(meter)s
      AND callback_event.id = matched.id
      AND NOT matched.before
      AND taking.fits
      AND requests.verdict IN ('billable', 'unpriced')
    RETURNING callback_event.id
)
SELECT (SELECT count(*) FROM taken) AS buckets, (SELECT count(*) FROM noted) AS events
