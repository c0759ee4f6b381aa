-- stamp: the timestamp of an event of a move, as plan.sql writes it: that of what it moves.
concat(',"timestamp":"', due.stamp, '"')
