"""When things happen: `clock.py` tells the time, `periods.py` when billing periods begin, `agenda.py` what is due.

`worker.py` tells when Lago gets to it.
"""
