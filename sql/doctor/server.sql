-- server: what a Postgres says of itself and of our role.
--
-- Reads   settings and the catalog.
-- Returns one row: its version; whether it is a replica, and then how long ago what it has replayed last was written;
--         whether transactions are read-only by default; our role; the clock.
SELECT current_setting('server_version') AS version,
       pg_is_in_recovery() AS is_replica,
       clock_timestamp() - pg_last_xact_replay_timestamp() AS behind,
       current_setting('default_transaction_read_only') = 'on' AS is_read_only,
       current_user::text AS role,
       clock_timestamp() AS now
