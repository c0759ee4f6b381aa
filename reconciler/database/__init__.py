"""Postgres: its address, transactions on it, and the statements of `sql/`."""
