"""How fast requests may go: under the operator's ceiling, and as Lago's rate limits say.

Lago's cloud allows so many requests a second of each kind of endpoint, tells `X-RateLimit-Limit`, `-Remaining` and
`-Reset` with every answer, and refuses the rest with a 429 (facts: lago section 8). Requests that are spread evenly
at just that rate meet hardly any 429. Where others use the same limit, the rate gives way at each 429 and comes back.
"""

import random
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import inf

LONGEST_WAIT = 60.0
"""Seconds; whatever an answer asks for, it is asked again after this."""

_LONGEST_SPAN = 86_400.0
"""Seconds; a limit that is reset later than that is one by another clock, such as seconds since 1970."""

_FIRST_WAIT = 0.2
_GIVE_WAY = 0.9
_COME_BACK = 1.01
_SLOWEST = 0.5


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
        self._ceiling = ceiling or inf
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._next = 0.0
        self._limit = self._rate = inf  # requests a second: what Lago has told, and how fast we go
        self._span, self._span_holds_until = 1.0, 0.0  # seconds; the longest reset of late
        self._refusals, self._refused_until = 0, 0.0  # how often in a row, and until when the last one holds

    @property
    def rate(self) -> float:
        """Requests a second at which they go now; infinite without a limit."""
        return min(self._ceiling, self._rate)

    def wait(self) -> None:
        """Sleep until the next request may go, or until sleep is cut short because all is to end."""
        while True:
            with self._lock:
                now, until = self._clock(), self._next
                if until <= now:
                    self._next = max(until, now - 1 / self.rate) + 1 / self.rate
                    return
            self._sleep(until - now)
            if self._clock() < until:
                return

    def learn(self, headers: Mapping[str, str]) -> None:
        """Take in an answer that was not refused: what it tells of the limit, and that the rate may come back."""
        with self._lock:
            reset = self._take(headers)
            if reset and reset > 1 and _number(headers.get("x-ratelimit-remaining")) == 0:
                # The last second is not waited for: an even pace uses a span up just when it ends.
                self._next = max(self._next, self._clock() + min(reset - 1, LONGEST_WAIT))
            self._refusals = 0
            self._rate = min(self._rate * _COME_BACK, self._limit)

    def refused(self, headers: Mapping[str, str]) -> float:
        """Take in a 429; return after how many seconds the next request may go."""
        with self._lock:
            reset, now = self._take(headers), self._clock()
            if now >= self._refused_until:  # once for all requests that one limit refused
                self._refusals += 1
                self._rate = max(self._rate * _GIVE_WAY, _SLOWEST)
            asked = _seconds_from_now(headers.get("retry-after"))
            if asked is None and reset is not None:
                # Of the last second only a part is left; those who share the limit spread over some of it.
                asked = max(reset - 1, 0) + random.uniform(_FIRST_WAIT, 0.5)  # noqa: S311 -- no secret
            if asked is None or asked < _FIRST_WAIT:  # it doesn't say, or says to come at once and yet refuses
                asked = _FIRST_WAIT * 2 ** min(max(self._refusals - 1, 0), 8)
            seconds = min(asked, LONGEST_WAIT)
            self._refused_until = max(self._refused_until, now + seconds)
            self._next = max(self._next, now + seconds)
            return seconds

    def _take(self, headers: Mapping[str, str]) -> float | None:
        """Take in the limit that an answer tells; return the seconds until its span ends, if it says them."""
        requests, reset = _number(headers.get("x-ratelimit-limit")), _number(headers.get("x-ratelimit-reset"))
        if reset is not None and reset > _LONGEST_SPAN:
            reset = None
        if requests:
            now, span = self._clock(), max(reset or 0.0, 1.0)
            if span >= self._span or now > self._span_holds_until:
                self._span, self._span_holds_until = span, now + 2 * span
            told = max(requests / self._span, 1 / LONGEST_WAIT)
            if told != self._limit:
                self._limit = self._rate = told
        return reset


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


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if 0 <= number < inf else None
