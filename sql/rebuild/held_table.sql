-- held_table: where the events come that Lago holds of a meter, in the order in which they were read.
CREATE TEMP TABLE held (
    number bigint GENERATED ALWAYS AS IDENTITY,
    window_start timestamptz,
    window_seconds int,
    code text,
    charge_by text,
    bucket bytea,
    revision int,
    customer text,
    model text,
    input_tokens bigint,
    output_tokens bigint,
    cost numeric,
    requests bigint,
    subscription text,
    payload text
) ON COMMIT DROP
