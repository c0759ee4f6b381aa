-- one_at_a_time: lets one transaction at a time say what a meter bills, whichever meter it is.
--
-- Locks   reconciler.terms, until the transaction ends. Who reads it need not wait. Only who may write the ledger can
--         hold the lock.
LOCK TABLE reconciler.terms IN SHARE UPDATE EXCLUSIVE MODE
