-- requests_table: where the rows of the spans of a cut-over wait to be matched. Filled by requests.sql, a span at a time,
-- through COPY where the source is another database.
CREATE TEMP TABLE IF NOT EXISTS requests (
    window_start timestamptz NOT NULL,
    number bigint NOT NULL,
    customer text NOT NULL,
    model text NOT NULL,
    verdict text NOT NULL,
    input_tokens bigint NOT NULL,
    output_tokens bigint NOT NULL,
    cost numeric NOT NULL,
    started_at timestamptz NOT NULL,
    ended_at timestamptz NOT NULL,
    name text NOT NULL,
    group_name text NOT NULL,
    call_type text NOT NULL
) ON COMMIT DROP
