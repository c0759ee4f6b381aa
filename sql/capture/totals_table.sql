-- totals_table: where source and ledger are two databases, the totals of a chunk wait here to be compared. Filled by
-- totals.sql through COPY.
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
