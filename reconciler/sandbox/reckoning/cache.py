"""The usage cache and the worker that keeps it honest, as in Lago's Postgres setup.

Current usage keeps the fees of each charge and filter until the billing period ends, unless they come to
nothing. After each event a worker drops what the event has outdated. Until it gets to that (it is behind, or
paused as when Lago's workers are down) usage is stale, until it catches up or the period ends. What it is never
told of (as when its queue is away) outdates nothing.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from reconciler.sandbox.grammar import SECOND
from reconciler.sandbox.reckoning.fees import Fee
from reconciler.sandbox.reckoning.filters import most_specific
from reconciler.sandbox.stores.store import Event, Thing


class Stream(NamedTuple):
    """What an event says of itself: where it counts, if anywhere."""

    organization: str
    subscription: str | None
    code: str


class Key(NamedTuple):
    """What cached fees are of.

    A changed charge or filter has another key, so the old entry is never read; unless it changed in the second
    in which it was made, for Lago's keys tell seconds only.
    """

    charge_id: str
    charge_second: int
    subscription_id: str
    filter_id: str | None
    filter_second: int | None


def key_of(subscription: Thing, charge: Thing, chosen: Thing | None) -> Key:
    """Return the key of a charge's filter, or of its bucket without filter."""
    mine = (chosen["lago_id"], chosen["updated_at"] // SECOND) if chosen else (None, None)
    return Key(charge["lago_id"], charge["updated_at"] // SECOND, subscription["lago_id"], *mine)


class _Entry(NamedTuple):
    charge: Thing
    started_at: int
    expires_at: int
    fees: list[Fee]


class UsageCache:
    """Cached fees by stream and key, and the events that the worker has yet to get to.

    Like Redis, it does not outlive the process.
    """

    def __init__(self) -> None:
        self._entries: dict[Stream, dict[Key, _Entry]] = defaultdict(dict)
        self._waiting: list[tuple[int, Event]] = []
        self.paused = False
        self._unheard = False

    def clear(self) -> None:
        """Forget everything; the worker works."""
        self._entries.clear()
        self._waiting.clear()
        self.paused = False

    def fees(
        self,
        stream: Stream,
        subscription: Thing,
        charge: Thing,
        chosen: Thing | None,
        *,
        now: int,
        expires_at: int,
        reckon: Callable[[Thing | None], list[Fee]],
    ) -> list[Fee]:
        """Return cached fees, or reckon them and keep them until `expires_at`."""
        key = key_of(subscription, charge, chosen)
        self._work(now)
        known = self._entries[stream].get(key)
        if known and now < known.expires_at:
            return known.fees
        fees = reckon(chosen)
        if any(fee.cents for fee in fees):
            self._entries[stream][key] = _Entry(charge, subscription["started_at"], expires_at, fees)
        return fees

    def outdate(self, events: Iterable[tuple[int, Event]], now: int) -> None:
        """Tell the worker of events that have been stored, as Lago's post-processing does once they are committed.

        Args:
            events: what was stored, each with the instant at which the worker is done with it.
            now: Lago's time.
        """
        if not self._unheard:
            self._waiting += events
            self._work(now)

    @contextmanager
    def unheard(self) -> Iterator[None]:
        """Let the worker never hear of what is stored in the block."""
        self._unheard = True
        try:
            yield
        finally:
            self._unheard = False

    def pause(self) -> None:
        """Let events pile up."""
        self.paused = True

    def resume(self, now: int) -> None:
        """Work off what has piled up."""
        self.paused = False
        self._work(now)

    def _work(self, now: int) -> None:
        if self.paused:
            return
        waiting, self._waiting = self._waiting, []
        for done, event in waiting:
            if done > now:
                self._waiting.append((done, event))
            elif entries := self._entries.get(Stream(event.organization, event.subscription, event.code or "")):
                _drop_outdated(entries, event)


def _drop_outdated(entries: dict[Key, _Entry], event: Event) -> None:
    """Drop the entries of the filter that an event falls into; one from before the start outdates nothing."""
    properties = event.decoded()
    for key, entry in list(entries.items()):
        started = entry.started_at // SECOND * SECOND <= event.timestamp
        chosen = most_specific(entry.charge, properties)
        if started and key.filter_id == (chosen["lago_id"] if chosen else None):
            del entries[key]
