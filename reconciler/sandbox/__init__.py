"""A stand-in of Lago for tests and the demo: a small HTTP server that behaves as Lago does, on either event store.

`serve` (`server.py`) runs it in the foreground, `Sandbox` in a thread, `create_app` (`app.py`) makes the ASGI
application. A request comes in through `trouble`, where a test has it fail, be refused or be cut off. What is left
is a `Call` (`call.py`), answered by one of the `resources` that are under Lago's `/api/v1`. `stores` keeps what
came in. From there `schedule` tells when something is due, `reckoning` turns events into amounts, and `billing`
makes usage and invoices of them. `grammar.py` and `refusals.py` are Lago's way with numbers, times and errors.
Each imports only those before it: `trouble`, `stores`, `schedule`, `reckoning`, `call`, `resources`, `billing`,
`routes`, `app`.

Under `/sandbox` is an API that Lago does not have (`control.py`), by which a test makes trouble and asks what is kept.

What it can't do yet it answers with a 501 `not_in_sandbox`, so that nothing seems to work that does not.
"""

from reconciler.sandbox.app import DEFAULT_API_KEY, create_app
from reconciler.sandbox.server import Sandbox, serve
from reconciler.sandbox.stores.store import StoreFileError

__all__ = ["DEFAULT_API_KEY", "Sandbox", "StoreFileError", "create_app", "serve"]
