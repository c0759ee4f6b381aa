-- open_since: the first window of which Lago is not known to hold all that is billed.
--
-- Reads   batches that are on their way, held or quarantined, and accepted ones that were not verified. What a person has
--         discarded is decided.
-- Returns one row, NULL if there is no such window.
SELECT least((SELECT min(first_window) FROM reconciler.batch
              WHERE meter = %(meter)s AND state IN ('planned', 'held', 'quarantined')),
             (SELECT min(first_window) FROM reconciler.batch
              WHERE meter = %(meter)s AND state = 'accepted' AND verified_at IS NULL))
