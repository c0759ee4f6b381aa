-- read: how many of the callback's events of a cut-over there are from a moment on.
SELECT count(*) FROM pg_temp.counted WHERE moment >= %(since)s
