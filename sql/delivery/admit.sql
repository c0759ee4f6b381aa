-- admit: what is planned may be sent for now, as far as the gate has seen it. A batch that rests there is passed over.
UPDATE reconciler.batch
SET admitted_at = clock_timestamp()
WHERE meter = %(meter)s
  AND state = 'planned'
  AND asked_at IS NOT NULL
  AND NOT id = ANY(%(kept_back)s::bigint[])
