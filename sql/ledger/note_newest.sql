-- note_newest: what the source's clock said to a pass, and when its newest row began.
--
-- Writes  reconciler.run.
UPDATE reconciler.run SET source_clock = %(clock)s, newest_row = %(newest)s WHERE id = %(id)s
