"""A webhook of the operator's own."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

import pytest


class Webhook(NamedTuple):
    """Answers with the status that its path ends in."""

    url: str
    got: list[tuple[str, Any]]
    """The path and the body of each request."""


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    got: list[tuple[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append((self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
            self.send_response(int(self.path.rpartition("/")[2]))
            self.send_header("Location", "/token/200")
            self.end_headers()
            self.wfile.write(b"token")

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Webhook(f"http://user:token@127.0.0.1:{server.server_port}/token", got)
        server.shutdown()
