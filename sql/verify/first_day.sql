-- first_day: the first day (UTC) in a span of which LiteLLM's daily table has rows; it keeps days as text.
--
-- Returns one row, NULL if there is none.
SELECT min("date") FROM {daily} WHERE "date" >= %(first)s AND "date" < %(last)s
