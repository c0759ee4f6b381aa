-- tables: where a cut-over notes what it finds, until its transaction ends.
--   counted  the callback's events of the span, each with what of it says whether Lago counts it, and the key of its bucket
--            if it was taken over before
--   matched  which row each event stands for; of an earlier cut-over or of this one
--   taking   what is to be taken over, a row a bucket, and whether it fits beside what is billed
CREATE TEMP TABLE counted ON COMMIT DROP AS
SELECT id, subscription, moment, model, input_tokens, output_tokens, cost, window_start, bucket,
       CASE %(by)s::text WHEN 'cost' THEN cost IS NOT NULL
                         WHEN 'input_tokens' THEN input_tokens IS NOT NULL
                         WHEN 'output_tokens' THEN output_tokens IS NOT NULL
                         WHEN 'total_tokens' THEN total_tokens IS NOT NULL
                         WHEN '' THEN false
                         ELSE true END AND subscription <> ALL (%(elsewhere)s::text[]) AS is_counted
FROM reconciler.callback_event
WHERE meter = %(meter)s AND code = %(code)s AND moment >= %(since)s AND moment <= %(until)s;

CREATE TEMP TABLE matched (
    id uuid NOT NULL,
    window_start timestamptz NOT NULL,
    number bigint NOT NULL,
    before boolean NOT NULL
) ON COMMIT DROP
