-- counted: the callback's events of a span, for the time of a transaction: each with whether Lago counts it, and with the
-- key of its bucket if it was taken over before.
--
-- Reads   what was kept of Lago's events. Not counted is one without what the metric sums, or one for a name of which Lago
--         has no subscription and under which this meter does not bill.
CREATE TEMP TABLE counted ON COMMIT DROP AS
SELECT id, subscription, moment, model, input_tokens, output_tokens, cost, window_start, bucket,
       CASE %(by)s::text WHEN 'cost' THEN cost IS NOT NULL
                         WHEN 'input_tokens' THEN input_tokens IS NOT NULL
                         WHEN 'output_tokens' THEN output_tokens IS NOT NULL
                         WHEN 'total_tokens' THEN total_tokens IS NOT NULL
                         WHEN '' THEN false
                         ELSE true END AND subscription <> ALL (%(elsewhere)s::text[]) AS is_counted
FROM reconciler.callback_event
WHERE meter = %(meter)s AND code = %(code)s AND moment >= %(since)s AND moment <= %(until)s
