-- grant_ledger: gives a role the ledger: the schema "reconciler", its own, in which the first pass makes its tables.
--
-- Who     a superuser, or the database's owner if he is a member of the role (GRANT reconciler TO CURRENT_USER), in
--         the ledger's database: the proxy's own where RECONCILE_LEDGER_URL is not set. There the role needs
--         grant_source.sql or grant_source_columns.sql as well.
-- What    the schema, and temporary tables, in which a pass compares. CREATE on the database or on "public" is not
--         needed, nor any right on a table of others. If somebody else has made a schema of that name, nothing is given.
-- Call    psql "$RECONCILE_LEDGER_URL" -v role=reconciler -f grant_ledger.sql
--         The role exists: CREATE ROLE reconciler LOGIN PASSWORD '…'.
--
-- If roles may not own schemas, make the tables yourself: grant_ledger_tables.sql.
\set ON_ERROR_STOP on
BEGIN;
SET LOCAL search_path = pg_catalog;
GRANT CONNECT, TEMPORARY ON DATABASE :"DBNAME" TO :"role";
CREATE SCHEMA IF NOT EXISTS reconciler AUTHORIZATION :"role";
SELECT set_config('reconciler.role', :'role', true) AS role \gset
DO $$
DECLARE
    owner text := (SELECT pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname = 'reconciler');
BEGIN
    IF owner <> current_setting('reconciler.role') THEN
        RAISE EXCEPTION 'The schema "reconciler" is there and belongs to "%", who could drop the ledger. Drop it first, '
                        'or give it to the role: ALTER SCHEMA reconciler OWNER TO …', owner;
    END IF;
END $$;
COMMIT;
