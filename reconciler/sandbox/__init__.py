"""A stand-in of Lago for tests and the demo: a small HTTP server that behaves as Lago does, on either event store.

`create_app` makes the ASGI application, `serve` runs it in the foreground, `Sandbox` in a thread. Under
`/api/v1` it is Lago: the same grammar, checks, refusals, duplicates and counting. Under `/sandbox` it has a
control API of its own (`control.py`), by which a test makes it fail (`faults.py`) and asks what it holds.

What it can't do yet it answers with a 501 `not_in_sandbox`, so that nothing seems to work that does not.
"""

from reconciler.sandbox.app import DEFAULT_API_KEY, create_app
from reconciler.sandbox.server import Sandbox, serve

__all__ = ["DEFAULT_API_KEY", "Sandbox", "create_app", "serve"]
