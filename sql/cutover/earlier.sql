-- earlier: whether some window of [since, until) was cut over before, and whether one cut-over has had all of them.
SELECT count(*) > 0, coalesce(bool_or(since <= %(since)s AND until >= %(until)s), false)
FROM reconciler.cutover
WHERE meter = %(meter)s AND since < %(until)s AND until > %(since)s
