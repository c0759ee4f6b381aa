"""What goes wrong between a sender and Lago, and when: outages that flap, and faults now and then."""

from random import Random
from typing import NamedTuple

STORED, NOT_STORED = ("500, stored", "dropped, stored", "timeout, stored"), ("500", "reset", "timeout", "502", "page")
UNKNOWN = (*STORED, *NOT_STORED)
"""Faults of one request after which nobody knows."""

OUTAGES = (*NOT_STORED, "400", "odd 422", "401", "away", "429")
"""What all requests, or a share of them, meet in an outage."""

RATES = (0.0, 0.0, 0.001, 0.01, 0.05, 0.2)


class Outage(NamedTuple):
    """A span in which requests fail in one way.

    Attributes:
        begins: when, in seconds.
        ends: when.
        fault: how requests fail.
        share: how many of them.
        kind: `write`, `read` or empty for both.
    """

    begins: float
    ends: float
    fault: str
    share: float = 1.0
    kind: str = ""


class Weather:
    """Says what each request meets. After `calm_at` nothing goes wrong any more."""

    def __init__(self, random: Random, outages: list[Outage], *, rate: float, calm_at: float) -> None:
        self.outages = outages
        self.calm_at = calm_at
        self._random = random
        self._rate = rate

    def fault(self, now: float, kind: str) -> str | None:
        """What goes wrong with a request of that kind (`write` or `read`), if anything does."""
        if now >= self.calm_at:
            return None
        for outage in self.outages:
            if (
                outage.begins <= now < outage.ends
                and outage.kind in {"", kind}
                and self._random.random() < outage.share
            ):
                return outage.fault
        return self._random.choice(UNKNOWN) if self._rate and self._random.random() < self._rate else None

    def is_out(self, since: float, until: float) -> bool:
        """Whether every request failed between two moments, and not for its rate."""
        return any(
            outage.begins <= since
            and until <= outage.ends
            and outage.share == 1
            and outage.kind != "read"
            and outage.fault != "429"
            for outage in self.outages
        )


def draw_weather(random: Random) -> Weather:
    """Some weather: often fair, at times an outage of seconds to hours, whole, in part or flapping."""
    outages: list[Outage] = []
    at = 0.0
    for _ in range(random.choice((0, 0, 1, 1, 1, 2))):
        at += random.choice((0.0, random.uniform(0, 5), random.uniform(0, 400)))
        fault = random.choice(OUTAGES)
        share = random.choice((1.0, 1.0, random.uniform(0.3, 0.95)))
        kind = random.choice(("", "", "", "write", "read"))
        for _ in range(random.choice((1, 1, 1, 2, 8))):
            lasts = 10 ** random.uniform(0.3, random.choice((1.5, 1.5, 2.5, 2.5, 2.5, 2.5, 2.5, 4.0)))
            outages.append(Outage(at, at + lasts, fault, share, kind))
            at += lasts + 10 ** random.uniform(-0.5, 2.3)
            if at > 3 * 3600:
                break
    return Weather(random, outages, rate=random.choice(RATES), calm_at=max(at, random.uniform(0, 600)))
