"""When things happen: `clock.py` tells the time, `periods.py` when billing periods begin, `agenda.py` what is due."""
