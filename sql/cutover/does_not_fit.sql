-- does_not_fit: notes of buckets that they are not taken over.
UPDATE pg_temp.taking
SET fits = false
WHERE (window_start, bucket) IN (SELECT * FROM unnest(%(windows)s::timestamptz[], %(buckets)s::bytea[]))
