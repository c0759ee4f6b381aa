-- first_of_all: the earliest window that a pass of any meter of an organization has looked at, or of which a cut-over has
-- taken something over: before it nothing was sent.
--
-- Returns one row, NULL if there is none.
SELECT min(least((SELECT min(start) FROM reconciler."window" WHERE "window".meter = meter.name),
                 (SELECT min(window_start) FROM reconciler.takeover WHERE takeover.meter = meter.name)))
FROM reconciler.meter
WHERE lago = %(lago)s AND organization IS NOT DISTINCT FROM %(organization)s
