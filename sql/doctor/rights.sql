-- rights: what our role may do in the ledger's database.
--
-- Reads   Postgres's catalog. %(names)s are the ledger's tables.
-- Returns one row: whether the schema is there; whether the role may make it, or tables in it; whether it may make
--         temporary tables, in which passes compare; and which rights on tables that are there it lacks.
WITH needed AS (
    SELECT relname, oid, privilege
    FROM pg_class, unnest('{SELECT,INSERT,UPDATE,DELETE}'::text[]) AS privilege
    WHERE relnamespace = to_regnamespace('reconciler')
      AND relkind = 'r' AND relname = ANY (%(names)s::text[])
      AND (privilege <> 'DELETE' OR relname IN ('run', 'subscription', 'unbilled', 'unsubscribed', 'terms', 'window'))
)
SELECT to_regnamespace('reconciler') IS NOT NULL AS is_there,
       CASE WHEN to_regnamespace('reconciler') IS NULL THEN has_database_privilege(current_database(), 'CREATE')
            ELSE has_schema_privilege('reconciler', 'CREATE, USAGE') END AS may_make,
       has_database_privilege(current_database(), 'TEMPORARY') AS may_compare,
       array(SELECT privilege || ' on reconciler.' || relname
             FROM needed
             WHERE NOT has_table_privilege(oid, privilege)
             ORDER BY relname, privilege) AS lacking
