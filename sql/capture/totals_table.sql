-- totals_table: where the totals of a chunk wait to be compared. Filled by totals.sql, through COPY where the source is
-- another database. Its types are Postgres's own, whatever the source's are.
CREATE TEMP TABLE totals (
    window_start timestamptz NOT NULL,
    customer text NOT NULL,
    model text NOT NULL,
    verdict text NOT NULL,
    input_tokens bigint NOT NULL,
    output_tokens bigint NOT NULL,
    cost numeric NOT NULL,
    requests bigint NOT NULL
) ON COMMIT DROP
