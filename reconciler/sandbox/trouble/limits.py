"""Rate limits, as Lago's cloud has them before its API: so many requests in so many seconds for an organization.

Each answer tells how things stand in `X-RateLimit-Limit`, `X-RateLimit-Remaining` and `X-RateLimit-Reset`, whole
seconds until the count begins anew. What is over the limit is a 429 and takes no effect. A request counts for
the first limit that it fits; requests without a valid key count for none.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from typing import Annotated, NamedTuple

import msgspec

from reconciler.sandbox.trouble.chance import Positive
from reconciler.sandbox.trouble.requests import Asked, PathPattern


class Limit(msgspec.Struct, forbid_unknown_fields=True):
    """One limit, as `POST /sandbox/limits` takes it.

    Attributes:
        requests: how many go through.
        seconds: in what time.
        method: only requests of this method count, None for any.
        path: only requests whose path begins so; `*` stands for anything.
    """

    requests: Positive
    seconds: Annotated[float, msgspec.Meta(gt=0)] = 1.0
    method: str | None = None
    path: PathPattern = "/api/v1/"


class Verdict(NamedTuple):
    """What a limit says to a request."""

    allowed: bool
    headers: dict[str, str]


@dataclass
class _Window:
    began: float
    used: int = 0


class Limits:
    """The limits, and what has been used of them."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._limits: list[Limit] = []
        self._windows: dict[tuple[int, str], _Window] = {}

    def set(self, limits: list[Limit]) -> None:
        """Replace the limits; nothing has been used of the new ones."""
        self._limits, self._windows = limits, {}

    def all(self) -> list[Limit]:
        """Return the limits."""
        return list(self._limits)

    def ask(self, asked: Asked, organization: str | None) -> Verdict | None:
        """Count a request, None if no limit is for it."""
        fitting = (place for place, limit in enumerate(self._limits) if asked.matches(limit.method, limit.path))
        place = next(fitting, None)
        if place is None or organization is None:
            return None
        limit, now = self._limits[place], self._clock()
        window = self._windows.setdefault((place, organization), _Window(now))
        if now >= window.began + limit.seconds:
            window.began, window.used = now, 0
        allowed = window.used < limit.requests
        window.used += allowed
        return Verdict(
            allowed,
            {
                "X-RateLimit-Limit": str(limit.requests),
                "X-RateLimit-Remaining": str(limit.requests - window.used),
                "X-RateLimit-Reset": str(ceil(window.began + limit.seconds - now)),
            },
        )
