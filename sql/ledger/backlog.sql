-- backlog: whether a meter has anything for delivery to do.
--
-- Reads   the batches that are planned or held, by their index, and what waits for a subscription.
-- Returns one row: how many events are planned, whether some are held, whether Lago is to be asked for subscriptions.
SELECT (SELECT coalesce(sum(events), 0)::bigint
        FROM reconciler.batch
        WHERE meter = %(meter)s AND state = 'planned') AS planned,
       EXISTS (SELECT
               FROM reconciler.batch
               WHERE meter = %(meter)s AND state = 'held') AS held,
       EXISTS (SELECT
               FROM reconciler.unsubscribed
               WHERE meter = %(meter)s AND asked_at < clock_timestamp() - interval '10 minutes') AS unsubscribed
