-- clock: where the source is and what time it has.
--
-- Returns the cluster's identifier (a replica has its primary's), the database and its encoding, the server's clock, and "now":
--         that clock; on a replica the time of the last transaction that it has replayed, NULL if it has replayed none
--         since it started.
SELECT (SELECT system_identifier::text FROM pg_control_system()),
       current_database(),
       current_setting('server_encoding'),
       clock_timestamp(),
       CASE WHEN pg_is_in_recovery() THEN pg_last_xact_replay_timestamp() ELSE clock_timestamp() END
