-- elsewhere: whom the callback has sent usage for under another name than that of the subscription that this meter bills.
--
-- Reads   what differs (compared.sql): run it where that is undone; what was kept of the callback's events.
-- Returns customers, once each.
WITH {compared}
SELECT DISTINCT customer
FROM delta
WHERE subscription IS DISTINCT FROM customer
  AND customer IN (SELECT subscription FROM reconciler.callback_event WHERE meter = %(meter)s AND code = %(callback_code)s)
