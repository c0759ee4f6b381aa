"""The request log: what clients asked of the API lately, for tests that care who sent what and how often."""

from collections import deque

import msgspec


class LoggedRequest(msgspec.Struct, frozen=True):
    """One request under `/api/v1`.

    Attributes:
        method: `POST`.
        path: as sent, percent-encoded, with the query.
        status: what was answered, None if the connection was cut.
        events: how many events the body carries.
        ids: their transaction ids, in order.
        fault: the kind of fault that hit it, if one did.
    """

    method: str
    path: str
    status: int | None
    events: int
    ids: list[str]
    fault: str | None


class RequestLog:
    """The last requests, oldest first."""

    def __init__(self, size: int = 10_000) -> None:
        self._requests: deque[LoggedRequest] = deque(maxlen=size)

    def add(self, request: LoggedRequest) -> None:
        """Append a request; the oldest gives way."""
        self._requests.append(request)

    def all(self) -> list[LoggedRequest]:
        """Return the requests, oldest first."""
        return list(self._requests)

    def clear(self) -> None:
        """Forget them."""
        self._requests.clear()
