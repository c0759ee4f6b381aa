"""A lost or older ledger made whole again from Lago's events."""
