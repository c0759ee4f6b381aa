-- unclear: the customers of whom a mapping does not say one subscription. A wrong subscription is a wrong bill.
--
-- Reads   the operator's table, of which anything may be true, or what was brought of it.
-- Returns the first three customers with two subscriptions, or with one that is empty, blank or NULL; whether it is the
--         latter, and how many such customers there are. Names are compared as bytes.
SELECT customer::text COLLATE "C" AS customer,
       NOT bool_and(coalesce(subscription::text, '') COLLATE "C" ~ '\S') AS lacks,
       count(*) OVER () AS customers
FROM {mapping}
WHERE customer::text COLLATE "C" <> ''
GROUP BY 1
HAVING NOT bool_and(coalesce(subscription::text, '') COLLATE "C" ~ '\S')
    OR min(subscription::text COLLATE "C") <> max(subscription::text COLLATE "C")
ORDER BY 1
LIMIT 3
