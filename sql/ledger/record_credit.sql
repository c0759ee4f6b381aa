-- record_credit: puts on record what a person has credited of one bucket.
--
-- Reads   the bucket's first event, or what was taken over of it, for the names of customer and model in full.
-- Writes  reconciler.credit. Its key refuses a second one of the same number.
INSERT INTO reconciler.credit (meter, window_start, bucket, number, customer, model,
                               input_tokens, output_tokens, cost, requests, accepted_by, reason)
SELECT meter, window_start, bucket, %(number)s, customer, model,
       %(input_tokens)s, %(output_tokens)s, %(cost)s, %(requests)s, %(by)s, %(reason)s
FROM (SELECT meter, window_start, bucket, customer, model FROM reconciler.event
      WHERE meter = %(meter)s AND window_start = %(window_start)s AND bucket = %(bucket)s AND revision = 0
      UNION ALL
      SELECT meter, window_start, bucket, customer, model FROM reconciler.takeover
      WHERE meter = %(meter)s AND window_start = %(window_start)s AND bucket = %(bucket)s
      LIMIT 1) AS billed
