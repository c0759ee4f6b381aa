-- matched_table: which row each of the callback's events stands for, of an earlier cut-over or of this one.
CREATE TEMP TABLE matched (
    id uuid NOT NULL,
    window_start timestamptz NOT NULL,
    number bigint NOT NULL,
    before boolean NOT NULL
) ON COMMIT DROP
