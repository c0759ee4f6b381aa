"""`reconcile verify`."""
