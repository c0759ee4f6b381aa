"""A canned Lago in a process of its own: it takes whatever comes, keeps nothing, and takes its time to answer."""

import asyncio
import multiprocessing
import socket
import time
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote

import httpx
import msgspec
import uvicorn

LATENCY = 0.05
"""Seconds that each answer takes."""

_SPENT = "/spent"
_EMPTY_PAGE = {"current_page": 0, "next_page": None, "prev_page": None, "total_pages": 0, "total_count": 0}
_NOT_AVAILABLE = {"status": 403, "error": "Forbidden", "code": "endpoint_not_available"}
_NOT_FOUND = {"status": 404, "error": "Not Found"}
_LAGO_ID = "6d2e1c9a-9d0f-4b62-8a39-9f2b6e3f8a11"
_MOMENT = "2026-11-24T12:00:00.000Z"


class _Event(msgspec.Struct):
    transaction_id: str
    external_subscription_id: str
    code: str
    properties: msgspec.Raw


class _Stored(_Event, kw_only=True):
    """An event as Lago gives it back, so that its answer is as long as a real one."""

    lago_id: str = _LAGO_ID
    lago_customer_id: str | None = None
    timestamp: str = _MOMENT
    precise_total_amount_cents: str | None = None
    lago_subscription_id: str | None = None
    created_at: str = _MOMENT


class _Batch(msgspec.Struct):
    events: list[_Event]


_read = msgspec.json.Decoder(_Batch).decode


class Responder:
    """The process; `with` starts and ends it."""

    def __init__(self) -> None:
        """Start nothing yet."""
        self.url = ""

    def __enter__(self) -> Self:
        """Start it; returns when it listens."""
        processes = multiprocessing.get_context("spawn")
        heard, told = processes.Pipe(duplex=False)
        self._process = processes.Process(target=_serve, args=(told,), daemon=True)
        self._process.start()
        self.url = f"http://127.0.0.1:{heard.recv()}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End it."""
        self._process.terminate()
        self._process.join()

    def cpu_seconds(self) -> float:
        """Return the processor's seconds that it has used so far."""
        answer = httpx.get(self.url + _SPENT, trust_env=False)
        return float(answer.raise_for_status().json())


def _serve(told: Connection) -> None:
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    # Connections inherit it. Without, an answer's body waits 40 ms for the client to acknowledge the head.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    told.send(listener.getsockname()[1])
    config = uvicorn.Config(_answer, ws="none", lifespan="off", log_config=None, access_log=False)
    uvicorn.Server(config).run(sockets=[listener])


async def _answer(scope: Any, receive: Any, send: Any) -> None:
    """The ASGI application."""
    due = asyncio.get_running_loop().time() + LATENCY
    path: str = scope["raw_path"].decode()
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    status, content = (200, time.process_time()) if path == _SPENT else _of_lago(scope["method"], path, body)
    encoded = msgspec.json.encode(content)
    await asyncio.sleep(due - asyncio.get_running_loop().time())
    headers = [(b"content-type", b"application/json; charset=utf-8"), (b"content-length", b"%d" % len(encoded))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": encoded})


def _of_lago(method: str, path: str, body: bytes) -> tuple[int, object]:
    """What Lago says: a status and what to put into the body."""
    match method, path.removeprefix("/api/v1/").split("/"):
        case "POST", ["events", "batch"]:
            return 200, {"events": [_stored(event) for event in _read(body).events]}
        case "GET", ["events"]:
            return 200, {"events": [], "meta": _EMPTY_PAGE}
        case "GET", ["events", _]:
            return 404, _NOT_FOUND | {"code": "event_not_found"}
        case "GET", ["events_enriched"]:
            return 403, _NOT_AVAILABLE
        case "GET", ["subscriptions"] | ["subscriptions?", *_]:
            return 200, {"subscriptions": [], "meta": _EMPTY_PAGE}
        case "GET", ["subscriptions", name]:
            return 200, {"subscription": _subscription(unquote(name))}
        case _:
            return 404, _NOT_FOUND | {"code": "resource_not_found"}


def _stored(event: _Event) -> _Stored:
    return _Stored(event.transaction_id, event.external_subscription_id, event.code, event.properties)


def _subscription(name: str) -> dict[str, Any]:
    """A subscription whose billing period holds all that a benchmark sends."""
    return {
        "lago_id": _LAGO_ID,
        "external_id": name,
        "external_customer_id": name,
        "status": "active",
        "current_billing_period_started_at": "2000-01-01T00:00:00Z",
        "current_billing_period_ending_at": "2100-01-01T00:00:00Z",
    }
