"""Setup: what Lago needs to bill, made without changing what is there."""
