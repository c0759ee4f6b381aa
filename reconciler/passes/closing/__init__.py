"""Before a plan changes or ends: all that was used up to now, billed and in Lago."""
