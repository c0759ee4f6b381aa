-- grant_source_columns: lets a role read those columns of the proxy's spend table that bills are made of, so that
-- prompts, answers, keys and addresses stay unread. Instead of grant_source.sql.
--
-- Who     the table's owner (the proxy's role) or a superuser, in the proxy's database.
-- What    SELECT on the columns below. All three charge-bys and both model columns are among them; request_id, by
--         which `reconcile explain --event` names rows; endTime and call_type, by which `reconcile cutover` matches.
--         api_key is read only by a RECONCILE_EXCLUDE of keys: grant it then. Columns that an older LiteLLM lacks
--         are left out here by themselves. One that is there and not granted is refused, never guessed.
-- Call    psql "$DATABASE_URL" -v role=reconciler -v schema=public -f grant_source_columns.sql
--         The role exists: CREATE ROLE reconciler LOGIN PASSWORD '…'. Run it again after LiteLLM was upgraded.
\set ON_ERROR_STOP on
BEGIN;
SET LOCAL search_path = pg_catalog;
GRANT CONNECT ON DATABASE :"DBNAME" TO :"role";
GRANT USAGE ON SCHEMA :"schema" TO :"role";
SELECT format('GRANT SELECT (%s) ON %s TO %I', string_agg(quote_ident(attname), ', '), attrelid::regclass, :'role')
FROM pg_attribute
WHERE attrelid = (quote_ident(:'schema') || '."LiteLLM_SpendLogs"')::regclass
  AND NOT attisdropped
  AND attname IN ('startTime', 'spend', 'prompt_tokens', 'completion_tokens', 'end_user', 'user', 'team_id',
                  'model', 'model_group', 'status', 'cache_hit', 'request_id', 'endTime', 'call_type')
GROUP BY attrelid
\gexec
COMMIT;
