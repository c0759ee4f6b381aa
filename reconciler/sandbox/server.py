"""Serving the stand-in: in the foreground for a command line, in a thread for tests."""

import asyncio
import signal
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self, Unpack

import httpx
from starlette.applications import Starlette

from reconciler.sandbox.app import DEFAULT_API_KEY, Options, create_app
from reconciler.sandbox.trouble.listener import Listener, listen, url_of

_STOPPED = "the sandbox is stopped: call start() first"


def serve(
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    path: Path | str | None = None,
    on_ready: Callable[[str], None] | None = None,
    **options: Unpack[Options],
) -> None:
    """Serve until a signal ends it.

    Args:
        host: the address to listen on.
        port: the port, 0 for a free one.
        path: see `create_app`, as for the options.
        on_ready: is told the URL as soon as it can be reached.
        options: what else `create_app` takes.

    Raises:
        OSError: the port is taken.
        StoreFileError: the file holds the other store.
    """
    listener = listen(host, port)
    app = _app(listener, path, options)
    if on_ready:
        on_ready(url_of(listener))
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # uvicorn raises a signal again when it has ended
    with suppress(KeyboardInterrupt):
        Listener(app, listener).run()


class Sandbox:
    """A stand-in of Lago in a thread of this process, on a loopback port.

    `with Sandbox() as lago:` starts and stops it. `stop()` and `start()` in between play an outage: it comes
    back on the same port, with its data if it has a `path`, and with no faults and no logged requests. `refuse()` and
    `accept()` play one in which it only can't be reached.
    """

    def __init__(
        self,
        path: Path | str | None = None,
        *,
        port: int = 0,
        **options: Unpack[Options],
    ) -> None:
        """Take the options of `create_app`, and the port, 0 for a free one."""
        self.api_key = options.get("api_key", DEFAULT_API_KEY)
        self._path, self._options = path, options
        self._port = port
        self._server: Listener | None = None
        self._thread: threading.Thread | None = None
        self._client: httpx.Client | None = None

    @property
    def url(self) -> str:
        """The base URL, without `/api/v1`; known from the first start on."""
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start to serve; returns when requests are answered."""
        listener = listen("127.0.0.1", self._port)
        self._port = listener.getsockname()[1]
        self._server = server = Listener(_app(listener, self._path, self._options), listener)
        self._thread = threading.Thread(target=server.run, name="sandbox", daemon=True)
        self._thread.start()
        while not server.started and self._thread.is_alive():
            time.sleep(0.002)
        url = f"{self.url}/sandbox"
        self._client = httpx.Client(base_url=url, timeout=60, trust_env=False, verify=False)  # noqa: S501 -- plain http

    def stop(self) -> None:
        """Stop to serve and cut what is still open; harmless if it does not run."""
        if self._server and self._thread and self._client:
            self._client.close()
            self._server.stop()
            self._thread.join()
        self._server = self._thread = self._client = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    # -- over Lago's own API

    def make_metric(self, code: str, *, api_key: str | None = None, **more: Any) -> None:
        """Make what all senders need, a metric: of that code, a sum of `response_cost`; unless there is one."""
        metric = {"name": code, "code": code, "aggregation_type": "sum_agg", "field_name": "response_cost", **more}
        key = {"Authorization": f"Bearer {api_key or self.api_key}"}
        made = self._ask("POST", f"{self.url}/api/v1/billable_metrics", headers=key, json={"billable_metric": metric})
        if made.is_error and "value_already_exist" not in made.text:
            raise ValueError(made.text)

    def organization(self, **changed: Any) -> None:
        """Change the organization, such as its `timezone`, in which its customers' days begin."""
        key = {"Authorization": f"Bearer {self.api_key}"}
        body = {"organization": changed}
        made = self._ask("PUT", f"{self.url}/api/v1/organizations", headers=key, json=body)
        if made.is_error:
            raise ValueError(made.text)

    # -- the control API

    def faults(self, *faults: Mapping[str, Any]) -> None:
        """Add faults, such as `{"kind": "status", "status": 429, "headers": {"X-RateLimit-Reset": "1"}}`."""
        self._control("POST", "/faults", json=faults)

    def pending_faults(self) -> list[dict[str, Any]]:
        """Return the faults still to come."""
        return self._list("/faults")

    def clear_faults(self) -> None:
        """Let everything go well again."""
        self._control("DELETE", "/faults")

    def limits(self, *limits: Mapping[str, Any]) -> None:
        """Replace the rate limits, such as `{"requests": 50, "path": "/api/v1/events/batch"}`."""
        self._control("POST", "/limits", json=limits)

    def permissions(self, api_key: str | None = None, **allowed: list[str]) -> None:
        """Let a key only do so much, such as `event=["read"]`; what is not named it may do."""
        self._control("POST", "/permissions", json=allowed, params={"api_key": api_key or self.api_key})

    def refuse(self, seconds: float | None = None) -> None:
        """Cut all connections and refuse new ones, for so long or until `accept`."""
        self._in_loop(lambda server: server.refuse(seconds))

    def accept(self) -> None:
        """Take connections again."""
        self._in_loop(lambda server: server.accept())

    def set_clock(self, now: datetime | None = None, *, advance: timedelta = timedelta(0)) -> datetime:
        """Move Lago's clock: to `now`, an aware time, and on by `advance`; it runs on from there. Return its time."""
        move = {"now": now.isoformat()} if now else {}
        return self._clock("POST", {**move, "advance": advance.total_seconds()})

    def reset_clock(self) -> datetime:
        """Let Lago have the real time again; returns it."""
        return self._clock("DELETE")

    def now(self) -> datetime:
        """Return what Lago takes for the time, to the millisecond."""
        return self._clock("GET")

    def requests(self) -> list[dict[str, Any]]:
        """Return the requests so far, oldest first; `trouble.requests.LoggedRequest` says what is known of each."""
        return self._list("/requests")

    def clear_requests(self) -> None:
        """Forget the requests so far."""
        self._control("DELETE", "/requests")

    def totals(self, api_key: str | None = None) -> list[dict[str, Any]]:
        """Return `events` and `sums` for each `external_subscription_id`, `code` and `model`."""
        return self._list("/totals", api_key)

    def events(self, api_key: str | None = None) -> list[dict[str, Any]]:
        """Return every stored event as Lago serializes it, oldest timestamp first."""
        return self._list("/events", api_key)

    def forget(self, code: str, api_key: str | None = None) -> int:
        """Delete a code's events, whose ids stay taken, as Lagos before August 2026 do with a metric; how many."""
        params = {"api_key": api_key or self.api_key}
        return int(self._control("POST", "/forget", json={"code": code}, params=params).json()["forgotten"])

    def worker(self, **work: Any) -> None:
        """Pause the worker that keeps cached usage fresh (`paused=True`), or let each event take it some `seconds`."""
        self._control("POST", "/worker", json=work)

    def biller(self, *, paused: bool) -> None:
        """Let what becomes due wait, invoices of upgrades and ends as well, as behind a worker's backlog, or do it."""
        self._control("POST", "/biller", json={"paused": paused})

    def bill(self) -> list[str]:
        """Bill every period that is over now; return the ids of invoices that are new or final."""
        invoices: list[str] = self._control("POST", "/biller").json()["invoices"]
        return invoices

    def reset(self) -> None:
        """Forget everything; faults and ClickHouse's weather are as at the start."""
        self._control("POST", "/reset")

    def clickhouse(self, **weather: Any) -> dict[str, Any]:
        """Change ClickHouse's `lag`, `deduplication` or `losses`, see `control.Weather`; return how it is now.

        The answer has `waiting`, too: how many events ClickHouse has not seen yet.
        """
        state: dict[str, Any] = self._control("POST", "/clickhouse", json=weather).json()
        return state

    def release(self) -> int:
        """Let ClickHouse see all that waits; returns how many events."""
        return int(self._control("POST", "/clickhouse/release").json()["released"])

    def merge(self) -> int:
        """Let ClickHouse merge the copies of each event; returns how many it dropped."""
        return int(self._control("POST", "/clickhouse/merge").json()["merged"])

    def _list(self, path: str, api_key: str | None = None) -> list[dict[str, Any]]:
        result: list[dict[str, Any]] = self._control("GET", path, params={"api_key": api_key or self.api_key}).json()
        return result

    def _clock(self, method: str, move: Mapping[str, Any] | None = None) -> datetime:
        return datetime.fromisoformat(self._control(method, "/clock", json=move).json()["now"])

    def _in_loop(self, do: Callable[[Listener], Coroutine[Any, Any, None]]) -> None:
        if not self._server or not self._server.loop:
            raise RuntimeError(_STOPPED)
        asyncio.run_coroutine_threadsafe(do(self._server), self._server.loop).result()

    def _ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        if not self._client:
            raise RuntimeError(_STOPPED)
        return self._client.request(method, path, **options)

    def _control(self, method: str, path: str, **options: Any) -> httpx.Response:
        response = self._ask(method, path, **options)
        if response.is_error:
            raise ValueError(response.text)
        return response


def _app(listener: socket.socket, path: Path | str | None, options: Options) -> Starlette:
    try:
        return create_app(path=path, **options)
    except BaseException:
        listener.close()
        raise
