-- clock: where the source is and what time it has.
--
-- Returns the cluster's identifier (a replica has its primary's), the database, and "now": the server's clock, on a
-- replica at most the last transaction that it has replayed.
SELECT (SELECT system_identifier::text FROM pg_control_system()),
       current_database(),
       CASE WHEN pg_is_in_recovery()
            THEN least(clock_timestamp(), coalesce(pg_last_xact_replay_timestamp(), timestamptz '1970-01-01'))
            ELSE clock_timestamp() END
