-- grant_daily_tables: lets a role read LiteLLM's daily tables as well, beside what a source file grants.
--
-- Who     the tables' owner (the proxy's role) or a superuser, in the proxy's database.
-- What    SELECT on the columns that `reconcile verify` compares with the spend table, in those of the tables that this
--         LiteLLM has. Nothing else needs them; without them that leg is left out.
-- Call    psql "$DATABASE_URL" -v role=reconciler -v schema=public -f grant_daily_tables.sql
\set ON_ERROR_STOP on
BEGIN;
SELECT format('GRANT SELECT (%s) ON %s TO %I', string_agg(quote_ident(attname), ', '), attrelid::regclass, :'role')
FROM pg_attribute
WHERE attrelid IN (to_regclass(quote_ident(:'schema') || '."LiteLLM_DailyUserSpend"'),
                   to_regclass(quote_ident(:'schema') || '."LiteLLM_DailyEndUserSpend"'),
                   to_regclass(quote_ident(:'schema') || '."LiteLLM_DailyTeamSpend"'))
  AND NOT attisdropped
  AND attname IN ('date', 'spend', 'user_id', 'end_user_id', 'team_id')
GROUP BY attrelid
\gexec
COMMIT;
