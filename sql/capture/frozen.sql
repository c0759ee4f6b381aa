-- frozen: which buckets of a span are frozen now, and by how much their source totals are below what is billed.
--
-- Reads   what differs, and the purge mark as it would be now (compared.sql): run it where that is undone. The events,
--         credits and what was taken over of the frozen buckets.
-- Returns one row a bucket, oldest window first. Long names are cut and say so.
WITH {compared}, frozen AS MATERIALIZED (
    SELECT delta.*,
           sha256(convert_to(concat(octet_length(convert_to(customer, 'UTF8')), ':', customer,
                                    octet_length(convert_to(model, 'UTF8')), ':', model), 'UTF8')) AS bucket
    FROM delta
    WHERE fate = 'frozen'
)
SELECT %(meter)s::text AS meter,
       window_start,
       bucket,
       (SELECT count(*)::int FROM reconciler.credit
        WHERE credit.meter = %(meter)s AND credit.window_start = frozen.window_start AND credit.bucket = frozen.bucket
       ) AS number,
       CASE WHEN length(customer) <= 200 THEN customer
            ELSE concat(left(customer, 200), '… (', length(customer), ' characters)') END AS customer,
       CASE WHEN length(model) <= 200 THEN model
            ELSE concat(left(model, 200), '… (', length(model), ' characters)') END AS model,
       greatest(-frozen.input_tokens, 0) AS input_tokens,
       greatest(-frozen.output_tokens, 0) AS output_tokens,
       greatest(-frozen.cost, 0) AS cost,
       greatest(-frozen.requests, 0) AS requests,
       billed.cost + taken.cost - credited.cost AS billed_cost,
       billed.cost + taken.cost - credited.cost + frozen.cost AS source_cost,
       billed.accepted_cost + taken.cost AS accepted_cost
FROM frozen
     CROSS JOIN LATERAL (
         SELECT coalesce(sum(event.cost), 0) AS cost, coalesce(sum(event.cost) FILTER (WHERE state = 'accepted'), 0) AS accepted_cost
         FROM reconciler.event JOIN reconciler.batch ON batch.id = event.batch
         WHERE event.meter = %(meter)s AND event.window_start = frozen.window_start AND event.bucket = frozen.bucket
     ) AS billed
     CROSS JOIN LATERAL (
         SELECT coalesce(sum(takeover.cost), 0) AS cost
         FROM reconciler.takeover
         WHERE takeover.meter = %(meter)s AND takeover.window_start = frozen.window_start AND takeover.bucket = frozen.bucket
     ) AS taken
     CROSS JOIN LATERAL (
         SELECT coalesce(sum(credit.cost), 0) AS cost
         FROM reconciler.credit
         WHERE credit.meter = %(meter)s AND credit.window_start = frozen.window_start AND credit.bucket = frozen.bucket
           AND undone_at IS NULL
     ) AS credited
ORDER BY window_start, bucket
