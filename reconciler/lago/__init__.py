"""Lago's HTTP API, as far as a producer of events needs it."""
