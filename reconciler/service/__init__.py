"""The service: passes by a schedule."""
