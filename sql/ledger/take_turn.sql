-- take_turn: the lock of a meter's row, until the transaction ends. Who finds it taken gets no row by SKIP LOCKED, and
-- waits for it otherwise.
--
-- Returns one row; none if there is no such meter.
SELECT FROM reconciler.meter WHERE name = %(meter)s FOR UPDATE {skip_locked}
