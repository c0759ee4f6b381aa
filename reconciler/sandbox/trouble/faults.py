"""Faults: what can go wrong between a client and Lago, played on command.

A fault hits requests by count, by odds or by the events they carry (`chance.py`), of a method and a path. Of
several that fit, the one given first hits. `kind` is what the client gets, `commit` whether the request takes
effect nevertheless.

| kind | what the client gets |
|---|---|
| `status` | `status`, 500 by default, with `headers` and `body`, by default Lago's own body |
| `html` | `status`, 200 by default, with `headers` and a gateway's page, or `body` |
| `drop` | the connection closes without an answer |
| `hang` | nothing for `seconds`, then the connection closes |
| `refuse` | the connection closes, and new ones are refused for `seconds` |
| `slow` | the true answer, `seconds` late; without `commit` the request takes effect only then |
| `busy` | the same, but behind all requests that are hit and came before: the more at once, the longer each waits |
| `truncate` | the true status and half of the true JSON; the request always takes effect |

`commit_then_500` is `status` with `commit`, `commit_then_drop` is `drop` with `commit`.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Annotated, Literal

import msgspec
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from reconciler.sandbox.refusals import body_of
from reconciler.sandbox.trouble.chance import Chance, Chances, Positive
from reconciler.sandbox.trouble.requests import Asked, PathPattern

Kind = Literal[
    "status", "html", "drop", "hang", "refuse", "slow", "busy", "truncate", "commit_then_500", "commit_then_drop"
]

_GATEWAY_PAGE = "<!DOCTYPE html><html><head><title>Gateway</title></head><body>Please wait ...</body></html>"


class Fault(Chance, kw_only=True):
    """One fault, as `POST /sandbox/faults` takes it.

    Attributes:
        kind: what goes wrong; see the module's table.
        method: only requests of this method, None for any.
        path: only requests whose path begins so; `*` stands for anything.
        status: the status of kinds `status` and `html`.
        headers: further headers of these.
        body: the body of these.
        seconds: how long `hang`, `refuse`, `slow` and `busy` take.
        commit: whether the request takes effect before the client gets what it gets.
        events: with `commit` on ClickHouse, how many of the request's events take effect.
        worker: whether Lago's worker hears of what takes effect; it doesn't while its queue (Redis) is away.
    """

    kind: Kind
    method: str | None = None
    path: PathPattern = "/api/v1/"
    status: Annotated[int, msgspec.Meta(ge=200, le=599)] | None = None
    headers: dict[str, str] = msgspec.field(default_factory=dict)
    body: str | None = None
    seconds: Annotated[float, msgspec.Meta(ge=0)] = 30.0
    commit: bool = False
    events: Positive | None = None
    worker: bool = True

    @property
    def commits(self) -> bool:
        """Whether the request takes effect before anything goes wrong."""
        return self.commit or self.kind.startswith("commit_then")

    def hits(self, asked: Asked) -> bool:
        """Tell whether it can hit such a request."""
        return asked.matches(self.method, self.path) and (
            not self.names_events or any(self.fits(event) for event in asked.events)
        )


class Faults(Chances[Fault]):
    """The faults still to come, in the order given."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._busy_until = 0.0

    def clear(self) -> None:
        """Let nothing go wrong any more; nobody waits for a turn."""
        super().clear()
        self._busy_until = 0.0

    def turn(self, seconds: float) -> float:
        """Queue a request that takes so long; return in how many seconds it is done, behind those before it."""
        now = self._clock()
        self._busy_until = max(now, self._busy_until) + seconds
        return self._busy_until - now

    def hit(self, asked: Asked) -> Fault | None:
        """Return the fault that hits this request, if any, and count it."""
        return self.take(lambda fault: fault.hits(asked)) if self else None


class Cut(Response):
    """No answer: the connection closes after `seconds`, at once by default."""

    def __init__(self, seconds: float = 0) -> None:
        super().__init__()
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 -- nothing is sent
        """Wait and abort the transport, which `listener.py` puts in reach."""
        try:
            if self._seconds:
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._seconds):
                        await _disconnected(receive)
        finally:
            scope["state"]["transport"].abort()
        await _disconnected(receive)


class Refuse(Cut):
    """No answer: all connections close, and new ones are refused for `seconds`."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 -- nothing is sent
        """Close the listener, which `listener.py` puts in reach."""
        await scope["state"]["listener"].refuse(self._seconds)
        await _disconnected(receive)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def play(fault: Fault, turn: Callable[[float], float], answer: Callable[[], Response]) -> Response:
    """Return what the client gets instead of the true answer, or that one in another way.

    Args:
        fault: what goes wrong.
        turn: queues a request, see `Faults.turn`.
        answer: lets the request take effect and returns its true answer.
    """
    answered = answer() if fault.commits else None
    match fault.kind:
        case "slow" | "busy":
            await asyncio.sleep(turn(fault.seconds) if fault.kind == "busy" else fault.seconds)
            return answered or answer()
        case "truncate":
            answered = answered or answer()
            half = bytes(answered.body)[: len(answered.body) // 2]
            return Response(half, answered.status_code, media_type="application/json")
        case "drop" | "commit_then_drop":
            return Cut()
        case "hang":
            return Cut(fault.seconds)
        case "refuse":
            return Refuse(fault.seconds)
        case "html":
            return Response(fault.body or _GATEWAY_PAGE, fault.status or 200, fault.headers, media_type="text/html")
        case "status" | "commit_then_500":
            status = fault.status or 500
            body = msgspec.json.encode(body_of(status)) if fault.body is None else fault.body
            return Response(body, status, fault.headers, media_type="application/json")
