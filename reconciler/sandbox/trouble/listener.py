"""The server's end of connections: one that can cut the wire, refuse newcomers for a while, and take them again."""

import asyncio
import socket
from contextlib import suppress
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol


def listen(host: str, port: int) -> socket.socket:
    """Listen on a port, 0 for a free one.

    Raises:
        OSError: the port is taken.
    """
    listener = socket.create_server((host, port))
    # Connections inherit it. Without, an answer's body waits 40 ms for the client to acknowledge the head.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def url_of(listener: socket.socket) -> str:
    """Return the URL at which it can be reached."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class _Connection(H11Protocol):
    """HTTP/1.1 with the transport in the request's state, so that a fault can cut the wire."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app_state = {**self.app_state, "transport": transport}


class Listener(uvicorn.Server):
    """Serves an application on one socket; it is `listener` in the requests' state."""

    def __init__(self, app: Any, listening: socket.socket) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                loop="asyncio",
                http=_Connection,
                ws="none",
                lifespan="on",
                log_config=None,
                log_level="critical",
                access_log=False,
            )
        )
        self._listening = listening
        self._family, self._address = listening.family, listening.getsockname()
        self._closed: socket.socket | None = None
        self._reopening: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()
        self.loop: asyncio.AbstractEventLoop | None = None

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until told to stop."""
        super().run(sockets or [self._listening])

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to serve."""
        self.loop = asyncio.get_running_loop()
        self.lifespan.state["listener"] = self
        await super().startup(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop for a signal."""
        super().handle_exit(sig, frame)
        self.stop()

    def stop(self) -> None:
        """Have it stop, from any thread."""
        self.should_exit = True
        if self.loop and self.loop.is_running():
            self.loop.call_soon_threadsafe(self._stopping.set)

    async def main_loop(self) -> None:
        """Keep the date of answers until told to stop; uvicorn would look only every tenth of a second."""
        while not await self.on_tick(0):
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), 1)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop to serve and cut what waits for an answer; uvicorn would give it a tenth of a second."""
        if self._reopening:
            self._reopening.cancel()
        if self._closed:
            self._closed.close()
        await self._close_servers()
        for listening in sockets or []:
            listening.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        for task in self.server_state.tasks:
            task.cancel()
        await self.lifespan.shutdown()

    async def refuse(self, seconds: float | None = None, spared: asyncio.Transport | None = None) -> None:
        """Cut all connections but the spared one, and refuse new ones, for so long or until `accept`."""
        if self._reopening:
            self._reopening.cancel()
        await self._close_servers()
        if self._closed is None:
            # A socket that is bound and does not listen refuses, and keeps the port from others.
            self._closed = socket.socket(self._family)
            self._closed.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._closed.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._closed.bind(self._address)
        for connection in list(self.server_state.connections):
            transport = getattr(connection, "transport", None)
            if transport is not None and transport is not spared:
                transport.abort()
        await asyncio.sleep(0)  # until they are cut
        self._reopening = None if seconds is None else asyncio.create_task(self._accept_in(seconds))

    async def accept(self) -> None:
        """Take new connections again."""
        if self._closed:
            reopened, self._closed = self._closed, None
            self.servers.append(await asyncio.get_running_loop().create_server(self._connection, sock=reopened))

    async def _close_servers(self) -> None:
        """Accept no more, but let those begin that were accepted: a closed server would lose them, open and unheard."""
        servers, self.servers = self.servers, []
        loop = asyncio.get_running_loop()
        for server in servers:
            for listening in server.sockets:
                loop.remove_reader(listening)
        for _ in ("its transport is made", "its protocol is told"):
            await asyncio.sleep(0)
        for server in servers:
            server.close()

    async def _accept_in(self, seconds: float) -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(seconds)
            await self.accept()

    def _connection(self) -> _Connection:
        return _Connection(
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state, _loop=self.loop
        )
