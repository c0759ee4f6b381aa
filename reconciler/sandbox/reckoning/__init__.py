"""From events to money, for one charge in one period.

`filters.py` tells which events a price is for, `aggregation.py` makes units of them, `pricing.py` an amount of
units, `fees.py` a fee of all that; `cache.py` keeps fees as long as Lago would.
"""
