"""How fast requests may go: under the operator's ceiling, and as Lago's rate limits say.

Lago's cloud allows so many requests a second of each kind of endpoint, tells `X-RateLimit-Limit`, `-Remaining` and
`-Reset` with every answer, and refuses the rest with a 429 (facts: lago section 8). Requests that are spread evenly
at just that rate meet hardly any 429, so that nothing waits longer than it must; where others use the same limit,
the rate gives way at each 429 and comes back.
"""

import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

LONGEST_WAIT = 60.0
"""Seconds; whatever an answer asks for, it is asked again after this."""

_LONGEST_SPAN = 86_400.0
"""Seconds; a limit that is reset later than that is one by another clock, such as seconds since 1970."""

_FIRST_WAIT = 0.2
_GIVE_WAY = 0.9
_COME_BACK = 1.01
_SLOWEST = 0.5


@dataclass(frozen=True)
class Limit:
    """What an answer says of its rate limit.

    Attributes:
        requests: how many may go in a span; None if it doesn't say.
        remaining: how many may still go in this one; None if it doesn't say.
        reset: seconds until the span ends; None if it doesn't say, or names a moment instead.
        wait: seconds to wait as `Retry-After` asks; None if it doesn't.
    """

    requests: float | None
    remaining: float | None
    reset: float | None
    wait: float | None

    @classmethod
    def of(cls, headers: Mapping[str, str]) -> "Limit":
        """Read an answer's headers; what is no number of seconds says nothing."""
        return cls(
            _number(headers.get("x-ratelimit-limit")),
            _number(headers.get("x-ratelimit-remaining")),
            _at_most(_LONGEST_SPAN, _number(headers.get("x-ratelimit-reset"))),
            _seconds_from_now(headers.get("retry-after")),
        )


class Pace:
    """The pace of one kind of request; all threads share it."""

    def __init__(
        self,
        ceiling: float | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        """Allow `ceiling` requests a second; None is as many as Lago takes."""
        self._ceiling = ceiling
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._next = 0.0
        self._limit: float | None = None  # requests a second that Lago has told
        self._span = 1.0  # seconds; the longest reset of late
        self._span_holds_until = 0.0
        self._rate: float | None = None  # requests a second at which we go
        self._refused = 0  # how often in a row
        self._refused_until = 0.0

    @property
    def rate(self) -> float | None:
        """Requests a second at which they go now; None is without a limit."""
        given = [rate for rate in (self._ceiling, self._rate) if rate is not None]
        return min(given, default=None)

    def wait(self, sleep: Callable[[float], object] | None = None) -> None:
        """Sleep until the next request may go, or until `sleep` is cut short because all is to end."""
        sleep = sleep or self._sleep
        while True:
            with self._lock:
                now = self._clock()
                until = self._next
                if until <= now:
                    if rate := self.rate:
                        self._next = max(until, now - 1 / rate) + 1 / rate
                    return
            sleep(until - now)
            if self._clock() < until:
                return

    def learn(self, headers: Mapping[str, str]) -> None:
        """Take in an answer that was not refused: what it tells of the limit, and that the rate may come back."""
        limit = Limit.of(headers)
        with self._lock:
            self._take(limit)
            if limit.remaining == 0 and limit.reset is not None and limit.reset > 1:
                # The last second is not waited for: an even pace uses a span up just when it ends.
                self._next = max(self._next, self._clock() + min(limit.reset - 1, LONGEST_WAIT))
            self._refused = 0
            if self._rate is not None:
                self._rate = self._rate * _COME_BACK
                if self._limit is not None:
                    self._rate = min(self._rate, self._limit)

    def refused(self, headers: Mapping[str, str]) -> float:
        """Take in a 429; return after how many seconds the next request may go."""
        limit = Limit.of(headers)
        with self._lock:
            self._take(limit)
            now = self._clock()
            if now >= self._refused_until:  # once for all requests that one limit refused
                self._refused += 1
                if self._rate is not None:
                    self._rate = max(self._rate * _GIVE_WAY, _SLOWEST)
            asked = limit.wait if limit.wait is not None else self._until_reset(limit.reset)
            if asked is None or asked < _FIRST_WAIT:  # it doesn't say, or says to come at once and yet refuses
                asked = _FIRST_WAIT * 2 ** min(max(self._refused - 1, 0), 8)
            seconds = min(asked, LONGEST_WAIT)
            self._refused_until = max(self._refused_until, now + seconds)
            self._next = max(self._next, now + seconds)
            return seconds

    @staticmethod
    def _until_reset(reset: float | None) -> float | None:
        """Of the last of the seconds told only a part is left; those who share the limit spread over some of it."""
        return None if reset is None else max(reset - 1, 0) + random.uniform(_FIRST_WAIT, 0.5)  # noqa: S311 -- no secret

    def _take(self, limit: Limit) -> None:
        if not limit.requests:
            return
        now, reset = self._clock(), max(limit.reset or 0.0, 1.0)
        if reset >= self._span or now > self._span_holds_until:
            self._span, self._span_holds_until = reset, now + 2 * reset
        told = max(limit.requests / self._span, 1 / LONGEST_WAIT)
        if told != self._limit:
            self._limit = self._rate = told


def _seconds_from_now(text: str | None) -> float | None:
    """Read `Retry-After`: seconds, or a date (RFC 9110, 10.2.3)."""
    number = _number(text)
    if number is not None:
        return number
    try:
        moment = parsedate_to_datetime(text or "")
    except ValueError:
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max((aware - datetime.now(UTC)).total_seconds(), 0.0)


def _at_most(most: float, number: float | None) -> float | None:
    return number if number is not None and number <= most else None


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if 0 <= number < float("inf") else None
