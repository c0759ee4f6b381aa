-- relation: what a table of others is, and what this role may read of it. LiteLLM's versions differ; look, don't assume.
--
-- Reads   Postgres's catalog, nothing of the table.
-- Returns one row: its kind as pg_class has it; the columns that may be read, and those that may not; and of its
--         partitions and children the first that is no table. No row: there is nothing of that name.
WITH RECURSIVE part AS (
    SELECT pg_class.oid, relkind, 0 AS depth
    FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE nspname = %(schema)s AND relname = %(name)s
    UNION
    SELECT child.oid, child.relkind, depth + 1
    FROM part
         JOIN pg_inherits ON inhparent = part.oid
         JOIN pg_class AS child ON child.oid = inhrelid
)
SELECT relkind::text AS kind,
       array(SELECT attname::text
             FROM pg_attribute
             WHERE attrelid = whole.oid AND attnum > 0 AND NOT attisdropped
               AND has_column_privilege(attrelid, attnum, 'SELECT')) AS readable,
       array(SELECT attname::text
             FROM pg_attribute
             WHERE attrelid = whole.oid AND attnum > 0 AND NOT attisdropped
               AND NOT has_column_privilege(attrelid, attnum, 'SELECT')) AS hidden,
       (SELECT min(oid::regclass::text) FROM part WHERE depth > 0 AND relkind NOT IN ('r', 'p')) AS foreign_part
FROM part AS whole
WHERE depth = 0
