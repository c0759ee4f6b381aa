-- strangers: what of the ledger belongs to a role that may not own it, as its owner may change, drop or booby-trap it.
--
-- Reads   Postgres's catalog. %(names)s are the ledger's tables and sequences.
-- Returns the first such thing and its owner; no row if all is well.
--
-- Schema and tables belong to this role, to one that it is a member of, or to a superuser; or all of it to one other role,
-- a DBA's, that does not own the spend table.
WITH mine AS (
    SELECT oid, rolsuper FROM pg_roles WHERE rolname = current_user
), thing AS (
    SELECT 'schema reconciler' AS name, nspowner AS owner, nspowner AS schema_owner
    FROM pg_namespace
    WHERE nspname = 'reconciler'
    UNION ALL
    SELECT 'table reconciler.' || relname, relowner, nspowner
    FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE nspname = 'reconciler' AND relname = ANY (%(names)s::text[])
), owner AS (
    SELECT owner.oid, owner.rolname,
           owner.oid = mine.oid OR owner.rolsuper OR (NOT mine.rolsuper AND pg_has_role(owner.oid, 'MEMBER')) AS trusted
    FROM pg_roles AS owner, mine
)
SELECT thing.name, owner.rolname
FROM thing
     JOIN owner ON owner.oid = thing.owner
     JOIN owner AS of_schema ON of_schema.oid = thing.schema_owner
WHERE (NOT owner.trusted
       AND (thing.owner <> thing.schema_owner
            OR thing.owner = (SELECT relowner
                              FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
                              WHERE nspname = %(source_schema)s AND relname = 'LiteLLM_SpendLogs')))
   OR (owner.trusted AND NOT of_schema.trusted)
ORDER BY thing.name
LIMIT 1
