-- columns: what the spend table has and what this role may read. LiteLLM's versions differ; look, don't assume.
--
-- Returns one row a column: its name, and whether SELECT on it is granted. No row: there is no such table.
SELECT attname, has_column_privilege(attrelid, attnum, 'SELECT')
FROM pg_attribute
WHERE attrelid = to_regclass(quote_ident(%(schema)s) || '."LiteLLM_SpendLogs"')
  AND attnum > 0
  AND NOT attisdropped
