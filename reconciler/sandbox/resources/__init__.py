"""What a client makes, changes and asks for under `/api/v1`: one module for each kind of thing, with its handlers.

`catalog.py` is what they share. Events (`events.py`) are measured by metrics, if need be after an
`expression.py`; metrics are charged for by plans (`plans.py`, `charges.py`), plans subscribed to by customers.
"""
