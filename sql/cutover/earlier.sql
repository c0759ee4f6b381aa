-- earlier: whether some window of [since, until) was cut over before.
SELECT EXISTS (SELECT FROM reconciler.cutover WHERE meter = %(meter)s AND since < %(until)s AND until > %(since)s)
