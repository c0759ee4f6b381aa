-- unseen_spans: the parts of [since, until) that no look of a meter has seen, and that no cut-over from LiteLLM's callback
-- has covered.
--
-- Reads   reconciler.window and reconciler.cutover. A window is taken to be as long as the settings say.
-- Returns one row a part, the oldest first.
SELECT lower(part), upper(part)
FROM unnest(tstzmultirange(tstzrange(%(since)s, %(until)s))
            - coalesce((SELECT range_agg(span)
                        FROM (SELECT tstzrange(start, start + %(length)s::interval) AS span
                              FROM reconciler.window
                              WHERE meter = %(meter)s AND start >= %(since)s AND start < %(until)s
                              UNION ALL
                              SELECT tstzrange(since, until)
                              FROM reconciler.cutover
                              WHERE meter = %(meter)s) AS covered), '{}'::tstzmultirange)) AS part
ORDER BY 1
