"""`reconcile doctor`: is everything as billing needs it? Checks decide purely; `asking` gathers what they decide on."""
