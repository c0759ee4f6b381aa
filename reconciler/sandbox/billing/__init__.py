"""What all that comes to: usage so far, and invoices when periods close.

`biller.py` is Lago's clock at work, `invoicing.py` makes and finishes the invoices it asks for. `usage.py` and
`invoices.py` answer for what is open and what is billed, `removal.py` bills what a deletion ends.
"""
