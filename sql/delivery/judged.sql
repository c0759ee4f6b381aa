-- judged: which of some events of LiteLLM's callback keep nobody from billing the windows in which they lie.
--
-- Reads   reconciler.callback_event: what cut-overs have read; and reconciler.cutover. They read two hours beyond their
--         instant.
-- Returns the ids of those that were taken over, and of those that stand for no row after the instant of a cut-over.
SELECT id
FROM reconciler.callback_event AS event
WHERE meter = %(meter)s
  AND id = ANY(%(ids)s::uuid[])
  AND (bucket IS NOT NULL
       OR EXISTS (SELECT
                  FROM reconciler.cutover
                  WHERE cutover.meter = event.meter
                    AND cutover.code = event.code
                    AND cutover.since <= event.moment
                    AND cutover.until >= event.moment - interval '2 hours'
                    AND cutover.done_at >= event.seen_at
                    AND NOT cutover.figures @> '[{"kind": "after"}]'))
