-- counts_table: where the row counts of a probe wait to be compared. Filled by
-- counts.sql, through COPY where the source is another database.
CREATE TEMP TABLE counts (
    window_start timestamptz NOT NULL,
    rows bigint NOT NULL
) ON COMMIT DROP
