-- grant_source: lets a role read the proxy's spend table, and nothing else.
--
-- Who     the table's owner (the proxy's role) or a superuser, in the proxy's database.
-- What    SELECT on the one table. That is all that a source needs; the ledger is granted apart (grant_ledger.sql),
--         in the same database or in another.
-- Call    psql "$DATABASE_URL" -v role=reconciler -v schema=public -f grant_source.sql
--         The role exists: CREATE ROLE reconciler LOGIN PASSWORD '…'. The schema is the one that holds
--         "LiteLLM_SpendLogs". Of a partitioned table the parent is enough. To undo it, REVOKE the same.
\set ON_ERROR_STOP on
BEGIN;
SET LOCAL search_path = pg_catalog;
GRANT CONNECT ON DATABASE :"DBNAME" TO :"role";
GRANT USAGE ON SCHEMA :"schema" TO :"role";
GRANT SELECT ON :"schema"."LiteLLM_SpendLogs" TO :"role";
COMMIT;
