"""Faults: what can go wrong between a client and Lago, played on command.

A fault hits the next requests that it matches, as many as its `count` says. Of several that match, the one
given first does.

| kind | what the client sees | does the request take effect? |
|---|---|---|
| `status` | `status` with `headers` and `body` (by default Lago's own body for it) | only with `commit` |
| `commit_then_500` | 500 | yes |
| `drop` | the connection closes without an answer | only with `commit` |
| `commit_then_drop` | the same | yes |
| `hang` | nothing for `seconds`, then the connection closes | only with `commit` |
| `slow` | the true answer, `seconds` late | yes, after the wait |
| `html` | 200 with a gateway's page, or with `body` | only with `commit` |
| `truncate` | the true status and half of the true JSON | yes |
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Annotated, Literal

import msgspec
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from reconciler.sandbox.errors import body_of

Kind = Literal["status", "commit_then_500", "drop", "commit_then_drop", "hang", "slow", "html", "truncate"]

_GATEWAY_PAGE = "<!DOCTYPE html><html><head><title>Gateway</title></head><body>Please wait ...</body></html>"


class Fault(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """One fault, as `POST /sandbox/faults` takes it.

    Attributes:
        kind: what goes wrong; see the module's table.
        count: how many requests it hits, None until cleared.
        method: only requests of this method, None for any.
        path: only requests whose path begins so.
        status: the status of kind `status`.
        headers: further headers of kind `status`.
        body: the body of kinds `status` and `html`.
        seconds: how long `hang` and `slow` take.
        commit: whether the request takes effect before kinds `status`, `drop`, `hang` and `html` answer.
    """

    kind: Kind
    count: Annotated[int, msgspec.Meta(ge=1)] | None = 1
    method: str | None = None
    path: str = "/api/v1/"
    status: Annotated[int, msgspec.Meta(ge=200, le=599)] = 500
    headers: dict[str, str] = {}
    body: str | None = None
    seconds: Annotated[float, msgspec.Meta(ge=0)] = 30.0
    commit: bool = False

    def matches(self, method: str, path: str) -> bool:
        """Tell whether it hits such a request."""
        return self.method in {None, method} and path.startswith(self.path)


class Faults:
    """The faults still to come, in the order given."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []

    def add(self, faults: list[Fault]) -> None:
        """Append faults."""
        self._faults += faults

    def pending(self) -> list[Fault]:
        """Return what is still to come."""
        return list(self._faults)

    def clear(self) -> None:
        """Let everything go well again."""
        self._faults = []

    def take(self, method: str, path: str) -> Fault | None:
        """Return the fault that hits this request, if any, and count it."""
        fault = next((fault for fault in self._faults if fault.matches(method, path)), None)
        if fault and fault.count is not None:
            fault.count -= 1
            if not fault.count:
                self._faults.remove(fault)
        return fault


class Cut(Response):
    """No answer: the connection closes after `seconds`, at once by default."""

    def __init__(self, seconds: float = 0) -> None:
        super().__init__()
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 -- nothing is sent
        """Wait and abort the transport, which `server.py` puts in reach."""
        try:
            if self._seconds:
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._seconds):
                        await _disconnected(receive)
        finally:
            scope["state"]["transport"].abort()
        await _disconnected(receive)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def play(fault: Fault, answer: Callable[[], Response]) -> Response:
    """Return what the client gets instead of the true answer.

    Args:
        fault: what goes wrong.
        answer: lets the request take effect and returns its true answer.
    """
    match fault.kind:
        case "slow":
            await asyncio.sleep(fault.seconds)
            return answer()
        case "truncate":
            true_answer = answer()
            body = bytes(true_answer.body)
            return Response(body[: len(body) // 2], true_answer.status_code, media_type="application/json")
    if fault.commit or fault.kind.startswith("commit_then"):
        answer()
    return _instead(fault)


def _instead(fault: Fault) -> Response:
    match fault.kind:
        case "commit_then_500":
            return _status(500, {}, None)
        case "drop" | "commit_then_drop":
            return Cut()
        case "hang":
            return Cut(fault.seconds)
        case "html":
            return Response(fault.body or _GATEWAY_PAGE, media_type="text/html")
        case _:
            return _status(fault.status, fault.headers, fault.body)


def _status(status: int, headers: dict[str, str], body: str | None) -> Response:
    content = msgspec.json.encode(body_of(status)) if body is None else body
    return Response(content, status, headers, media_type="application/json")
