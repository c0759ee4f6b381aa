-- grant_ledger_tables: lets a role work in a ledger whose tables somebody else made and owns. Instead of
-- grant_ledger.sql.
--
-- Who     whoever made the tables, in the ledger's database.
-- What    reading and writing rows, numbers for new batches, and temporary tables, in which a pass compares. No
--         CREATE. DELETE on "run", whose old rows a pass clears away, on what Lago has told of subscriptions, on usage
--         that was not billed and is, or waited for a subscription and has it, and on "terms" and "window", of meters that have no
--         event yet and get other settings: what was billed is never deleted. An upgrade of the reconciler that changes
--         the tables is yours to run, too, and then this again; until then passes say so and do nothing.
-- Call    reconcile ledger upgrade --sql | psql "$RECONCILE_LEDGER_URL"
--         psql "$RECONCILE_LEDGER_URL" -v role=reconciler -f grant_ledger_tables.sql
--         The role exists: CREATE ROLE reconciler LOGIN PASSWORD '…'.
\set ON_ERROR_STOP on
BEGIN;
SET LOCAL search_path = pg_catalog;
GRANT CONNECT, TEMPORARY ON DATABASE :"DBNAME" TO :"role";
GRANT USAGE ON SCHEMA reconciler TO :"role";
GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA reconciler TO :"role";
GRANT USAGE ON ALL SEQUENCES IN SCHEMA reconciler TO :"role";
GRANT DELETE ON reconciler.run, reconciler.subscription, reconciler.unbilled, reconciler.unsubscribed,
    reconciler.terms, reconciler."window" TO :"role";
REVOKE INSERT, UPDATE ON reconciler.alembic_version FROM :"role";
COMMIT;
