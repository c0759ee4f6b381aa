"""Requests: what a fault or a limit sees of one, and the log of the last ones, for tests that care who sent what."""

import re
from collections import deque
from functools import lru_cache
from typing import NamedTuple

import msgspec

from reconciler.sandbox.trouble.chance import Named

PathPattern = str
"""How a path begins, percent-encoded as sent; `*` stands for anything."""


class Asked(NamedTuple):
    """A request before anybody has looked at its key or its sense: method, path as sent, and the events it carries."""

    method: str
    path: str
    events: list[Named]

    def matches(self, method: str | None, path: PathPattern) -> bool:
        """Tell whether it is of that method, None for any, and its path begins so."""
        return method in {None, self.method} and _pattern(path).match(self.path) is not None


@lru_cache(maxsize=256)
def _pattern(path: PathPattern) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, path.split("*"))), re.DOTALL)


class LoggedRequest(msgspec.Struct, frozen=True):
    """One request under `/api/v1`.

    Attributes:
        method: `POST`.
        path: as sent, percent-encoded, with the query.
        status: what was answered, None if the connection was cut.
        events: how many events the body carries.
        ids: their transaction ids, in order.
        fault: the kind of fault that hit it, `limit` if it was over a rate limit, None if all went well.
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
