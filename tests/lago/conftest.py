"""Servers for the tests of the client: the stand-in of Lago, and bare sockets that say whatever a test likes."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress

import pytest

from reconciler.lago.client import Lago
from reconciler.lago.ending import Ending
from reconciler.sandbox import Sandbox
from reconciler.settings.limits import Limits

Talk = Callable[[socket.socket], None]
Connect = Callable[..., Lago]
Serve = Callable[[Talk | bytes], str]

QUICK = Limits(request=1.0, pause=0.01)


def reply(body: str | bytes, status: str = "200 OK", **headers: str) -> bytes:
    """A whole answer; underscores of the headers' names stand for hyphens."""
    content = body.encode() if isinstance(body, str) else body
    told = {"content_type": "application/json", "content_length": str(len(content)), "connection": "close"} | headers
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in told.items())
    return f"HTTP/1.1 {status}\r\n{lines}\r\n".encode() + content


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts a server on a loopback port that answers every request so; returns its address."""
    listeners: list[socket.socket] = []

    def start(talk: Talk | bytes) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)
        threading.Thread(target=_accept, args=(listener, talk), daemon=True).start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}"

    yield start
    for listener in listeners:
        listener.close()


def _accept(listener: socket.socket, talk: Talk | bytes) -> None:
    with suppress(OSError):
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=_answer, args=(connection, talk), daemon=True).start()


def _answer(connection: socket.socket, talk: Talk | bytes) -> None:
    with connection, suppress(OSError):
        connection.recv(2**16)
        if callable(talk):
            talk(connection)
        else:
            connection.sendall(talk)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(2**16):
                pass


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Makes clients of `Lago`'s arguments; closes them at the end."""
    with ExitStack() as stack:

        def make(base: str, key: str = "key", *, limits: Limits = QUICK, ending: Ending | None = None) -> Lago:
            lago = Lago(base, key, limits=limits, ending=ending)
            stack.callback(lago.close)
            return lago

        yield make


@pytest.fixture
def client(lago: Sandbox, connect: Connect) -> Lago:
    """The client of the stand-in."""
    return connect(lago.url, lago.api_key)
