-- layout: how the spend table is made, as far as a doctor needs it.
--
-- Reads   Postgres's catalog, nothing of the table.
-- Returns one row: about how many rows it and its parts have, -1 if Postgres has never counted; how many partitions;
--         whether row-level security hides rows from this role; whether the role could write it; whether an index that
--         is whole begins with "startTime"; whether LiteLLM's runbook for partitions has left an older table beside it.
WITH RECURSIVE whole AS (
    SELECT pg_class.oid
    FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE nspname = %(schema)s AND relname = %(name)s
), part AS (
    SELECT oid FROM whole
    UNION
    SELECT inhrelid FROM part JOIN pg_inherits ON inhparent = part.oid
)
SELECT (SELECT coalesce(sum(reltuples) FILTER (WHERE reltuples >= 0), -1)::bigint
        FROM part JOIN pg_class USING (oid)
        WHERE relkind = 'r') AS rows,
       (SELECT count(*) - 1 FROM part) AS partitions,
       row_security_active(whole.oid) AS is_hidden,
       has_table_privilege(whole.oid, 'INSERT, UPDATE, DELETE, TRUNCATE') AS may_write,
       EXISTS (SELECT
               FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attnum = indkey[0]
               WHERE indrelid = whole.oid AND indisvalid AND indpred IS NULL AND attname = 'startTime') AS is_indexed,
       EXISTS (SELECT
               FROM pg_class AS legacy JOIN pg_namespace ON pg_namespace.oid = legacy.relnamespace
               WHERE nspname = %(schema)s AND relname = %(name)s || '_legacy' AND relkind IN ('r', 'p')
                 AND NOT EXISTS (SELECT FROM part WHERE part.oid = legacy.oid)) AS has_legacy
FROM whole
