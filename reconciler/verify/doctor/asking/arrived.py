"""Looks through what has arrived in Lago of a meter's code of late, and tells whose it is.

Lago shows the newest first, and ours may be thousands. So of a busy meter the newest pages are read, and then the spans
between the last milliseconds of its windows: what the callback sends lies there, and next to nothing of ours.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import islice

from reconciler.lago.client import Lago
from reconciler.lago.questions import Thing
from reconciler.lago.readback import Readback
from reconciler.lago.shown import timestamp_of
from reconciler.ledger import meters
from reconciler.ledger.meters import Meter
from reconciler.ledger.store import Ledger
from reconciler.model import windows
from reconciler.settings.meter import MeterSettings
from reconciler.verify.doctor.lago import Arrived, Foreign
from reconciler.verify.findings import Leg
from reconciler.verify.producers import producer
from reconciler.verify.strangers import APART, TWICE, Strangers

LATELY = timedelta(hours=3)
"""So far back events are looked through."""

PAGE, PAGES = 1000, 5
"""So many pages of the newest are read at most, of so many events."""

BETWEEN = 36
"""So many spans between windows' ends are asked for at most: three hours of windows of five minutes."""

_STAMP = timedelta(milliseconds=2)
"""Our events have the last millisecond of their window; so long before its end none lies."""


@dataclass(frozen=True)
class Arrivals:
    """Looks through one meter's.

    Attributes:
        lago: where they arrive.
        ledger: what it knows is ours.
        meter: the meter's settings.
    """

    lago: Lago
    ledger: Ledger
    meter: MeterSettings

    def see(self, *, knows_meters: bool | None) -> Arrived:
        """What has arrived that is not of this ledger.

        Args:
            knows_meters: whether the ledger can be asked about its meters; None if nobody knows whether it has some.
        """
        meter = self._known() if knows_meters else None
        events, is_whole = self._newest()
        is_whole_between = is_whole or self._add_between(events)
        foreign = list(self._foreign(meter, list(events.values())))
        is_compared = knows_meters is not None
        return Arrived(foreign, is_whole=is_whole, is_whole_between=is_whole_between, is_compared=is_compared)

    def _known(self) -> Meter | None:
        with self.ledger.transaction() as connection:
            return meters.load(connection, self.meter.name)

    def _newest(self) -> tuple[dict[object, Thing], bool]:
        """The newest ones, by what tells them apart, and whether that is all."""
        now, is_last = datetime.now(UTC), False
        events: dict[object, Thing] = {}
        for page in islice(self.lago.events(self.meter.event_code, now - LATELY, now + LATELY, size=PAGE), PAGES):
            events |= _by_id(page.things)
            is_last = page.is_last
        return events, is_last

    def _add_between(self, events: dict[object, Thing]) -> bool:
        """Add those before the newest that lie between our own, a page of each span; return whether that was all."""
        until = min((at for event in events.values() if (at := timestamp_of(event))), default=datetime.now(UTC))
        spans = list(between(datetime.now(UTC) - LATELY, until.astimezone(UTC), self.meter.window))
        for since, end in spans[:BETWEEN]:
            for page in islice(self.lago.events(self.meter.event_code, since, end, size=PAGE), 1):
                events |= _by_id(page.things)
        return len(spans) <= BETWEEN

    def _foreign(self, meter: Meter | None, events: Sequence[Thing]) -> Iterator[Foreign]:
        """Who has sent what of these, beside this ledger; without a meter all of it is foreign."""
        readback, newest = Readback(self.lago), dict[str, datetime]()
        computed = readback.computed(self.meter.event_code)
        for event in events:
            if moment := timestamp_of(event):
                who = producer(event, self.meter.name, computed)
                newest[who] = max(moment, newest.get(who, moment))
        leg = Leg("", "", "")
        if meter is not None:
            Strangers(meter, self.ledger, leg, readback).take(events)
        else:
            for event in events:
                leg.count(APART[producer(event, self.meter.name, computed)], 1, Decimal())
        for some, is_twice in ((TWICE, True), (APART, False)):
            for who, kind in some.items():
                if (number := leg.sums.get(kind, (0,))[0]) and who in newest:
                    yield Foreign(who, is_twice, number, newest[who])


def between(since: datetime, until: datetime, window: timedelta) -> Iterator[tuple[datetime, datetime]]:
    """The spans in `[since, until]`, both ends inclusive, in which no event of ours is stamped, the latest first."""
    start = windows.floor(until, window)
    while start + window > since:
        first, last = max(start, since), min(start + window - _STAMP, until)
        if first <= last:
            yield first, last
        start -= window


def _by_id(events: Sequence[Thing]) -> dict[object, Thing]:
    """Events by what tells them apart: pages shift as more arrive."""
    return {(str(one.get("external_subscription_id")), str(one.get("transaction_id"))): one for one in events}
