"""What a test makes go wrong on command, between a client and Lago's own answer.

`requests.py` is what is seen of a request before anyone looks at its sense. `chance.py` tells which of them are
hit, `faults.py` by what; `limits.py` and `permissions.py` refuse as Lago does, `listener.py` cuts the wire.
"""
