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

from reconciler.sandbox.trouble.limits import Limit, Limits
from reconciler.sandbox.trouble.requests import Asked

LATENCY = 0.05
"""Seconds that each answer takes, unless told otherwise."""

_FORGET, _HEARD = "/forget", "/heard"
_EMPTY_PAGE = {"current_page": 0, "next_page": None, "prev_page": None, "total_pages": 0, "total_count": 0}
_NOT_AVAILABLE = {"status": 403, "error": "Forbidden", "code": "endpoint_not_available"}
_NOT_FOUND = {"status": 404, "error": "Not Found"}
_TOO_MANY = {"status": 429, "error": "Too Many Requests", "code": "rate_limited"}
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


class Heard(msgspec.Struct):
    """What came to the responder since it was told to forget.

    Attributes:
        requests: how many, those that only ask and those over the limit among them.
        refused: how many were over the limit.
        events: how many were taken, each time counted.
        twice: how many of these had been taken before.
        seconds: from the first batch to the answer to the last.
        cpu_seconds: of the responder's process.
    """

    requests: int
    refused: int
    events: int
    twice: int
    seconds: float
    cpu_seconds: float

    @property
    def rate(self) -> float:
        """Events a second."""
        return self.events / self.seconds


class Responder:
    """The process; `with` starts and ends it."""

    def __init__(self, *, latency: float = LATENCY, limit: int | None = None) -> None:
        """Start nothing yet.

        Args:
            latency: seconds that each answer takes.
            limit: requests a second, over all clients; None is as many as come.
        """
        self.url = ""
        self._latency = latency
        self._limit = limit

    def __enter__(self) -> Self:
        """Start it; returns when it listens."""
        processes = multiprocessing.get_context("spawn")
        heard, told = processes.Pipe(duplex=False)
        self._process = processes.Process(target=_serve, args=(told, self._latency, self._limit), daemon=True)
        self._process.start()
        self.url = f"http://127.0.0.1:{heard.recv()}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End it."""
        self._process.terminate()
        self._process.join()

    def forget(self) -> None:
        """Count from nothing again."""
        httpx.get(self.url + _FORGET, trust_env=False).raise_for_status()

    def heard(self) -> Heard:
        """Return what came since."""
        answer = httpx.get(self.url + _HEARD, trust_env=False)
        return msgspec.json.decode(answer.raise_for_status().content, type=Heard)


def _serve(told: Connection, latency: float, limit: int | None) -> None:
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    # Connections inherit it. Without, an answer's body waits 40 ms for the client to acknowledge the head.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    told.send(listener.getsockname()[1])
    config = uvicorn.Config(_Application(latency, limit), ws="none", lifespan="off", log_config=None, access_log=False)
    uvicorn.Server(config).run(sockets=[listener])


class _Application:
    """The ASGI application: what is said, and the count of what came."""

    def __init__(self, latency: float, limit: int | None) -> None:
        self._latency = latency
        self._limits = Limits()
        self._limits.set([Limit(requests=limit)] if limit else [])
        self._forget()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        due = asyncio.get_running_loop().time() + self._latency
        path: str = scope["raw_path"].decode()
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        status, headers, content = self._answer(scope["method"], path, body)
        encoded = msgspec.json.encode(content)
        headers |= {"content-type": "application/json; charset=utf-8", "content-length": str(len(encoded))}
        await asyncio.sleep(due - asyncio.get_running_loop().time())
        pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": status, "headers": pairs})
        await send({"type": "http.response.body", "body": encoded})
        if body:
            self._ended = time.monotonic()

    def _forget(self) -> None:
        self._requests = self._refused = self._events = 0
        self._seen: set[str] = set()
        self._began: float | None = None
        self._ended = 0.0
        self._cpu_began = time.process_time()

    def _answer(self, method: str, path: str, body: bytes) -> tuple[int, dict[str, str], object]:
        """A status, headers, and what to put into the body."""
        if path == _FORGET:
            self._forget()
            return 200, {}, None
        if path == _HEARD:
            return 200, {}, self._heard()
        self._requests += 1
        if body and self._began is None:
            self._began = time.monotonic()
        verdict = self._limits.ask(Asked(method, path, []), "organization")
        headers = verdict.headers if verdict else {}
        if verdict and not verdict.allowed:
            self._refused += 1
            return 429, headers, _TOO_MANY
        batch = _read(body).events if body else []
        self._events += len(batch)
        self._seen.update(event.transaction_id for event in batch)
        status, content = _of_lago(method, path, batch)
        return status, headers, content

    def _heard(self) -> Heard:
        return Heard(
            requests=self._requests,
            refused=self._refused,
            events=self._events,
            twice=self._events - len(self._seen),
            seconds=0.0 if self._began is None else self._ended - self._began,
            cpu_seconds=time.process_time() - self._cpu_began,
        )


def _of_lago(method: str, path: str, batch: list[_Event]) -> tuple[int, object]:
    """What Lago says: a status and what to put into the body."""
    match method, path.removeprefix("/api/v1/").split("/"):
        case "POST", ["events", "batch"]:
            return 200, {"events": [_stored(event) for event in batch]}
        case "GET", ["events"]:
            return 200, {"events": [], "meta": _EMPTY_PAGE}
        case "GET", ["events", _]:
            return 404, _NOT_FOUND | {"code": "event_not_found"}
        case "GET", ["events_enriched"]:
            return 403, _NOT_AVAILABLE
        case "GET", ["subscriptions" | "invoices" as kind]:
            return 200, {kind: [], "meta": _EMPTY_PAGE}
        case "GET", ["billable_metrics", code]:
            return 200, {"billable_metric": {"lago_id": _LAGO_ID, "code": unquote(code), "aggregation_type": "sum_agg"}}
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
        "created_at": "2000-01-01T00:00:00Z",
        "started_at": "2000-01-01T00:00:00.000Z",
        "current_billing_period_started_at": "2000-01-01T00:00:00Z",
        "current_billing_period_ending_at": "2100-01-01T00:00:00Z",
    }
