-- first_window: the earliest window that a pass of the meter has looked at.
--
-- Returns one row, NULL if there is none.
SELECT min(start) FROM reconciler."window" WHERE meter = %(meter)s
