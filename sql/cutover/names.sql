-- names: under which names the callback has sent events of a code in a span, as far as they were kept.
SELECT DISTINCT subscription
FROM reconciler.callback_event
WHERE meter = %(meter)s AND code = %(code)s AND moment >= %(since)s AND moment <= %(until)s
