-- stamp: the timestamp of an event of a window that is still open, as plan.sql writes it: up to when it is billed.
concat(',"timestamp":"', %(stamp)s::text, '"')
