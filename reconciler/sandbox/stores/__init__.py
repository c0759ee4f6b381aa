"""What the stand-in keeps: `store.py` says what any store can do, `postgres.py` and `clickhouse.py` are Lago's two.

`totals.py` sums all that a store counts, for proofs.
"""
