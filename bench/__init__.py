"""Benchmarks: what a pass costs beside what the database itself needs. `make bench` runs them."""
