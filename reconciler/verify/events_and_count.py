"""Leg d: does Lago count what it was sent? Current usage for the present period, past usage for ended ones."""

from collections.abc import Iterator
from datetime import datetime

from reconciler.lago.client import Lago
from reconciler.ledger.meters import Meter
from reconciler.ledger.store import Ledger
from reconciler.model.money import total
from reconciler.model.words import count
from reconciler.verify import counting
from reconciler.verify.ended_periods import Compared
from reconciler.verify.findings import Difference, Leg
from reconciler.verify.lagos_count import LagosCount


class EventsAndCount:
    """Compares what one meter has sent under one event code with what Lago counts."""

    def __init__(self, meter: Meter, ledger: Ledger, lago: Lago, code: str, leg: Leg) -> None:
        """Ask nothing yet; note in `leg` what is found."""
        self._meter = meter
        self._ledger = ledger
        self._leg = leg
        self._code = code
        self._lagos_count = LagosCount(meter, ledger, lago, code)

    def run(self, since: datetime, until: datetime, *, scanned_since: datetime, again: bool) -> None:
        """Compare the periods of subscriptions with usage in `[since, until)` under the code.

        The ledger takes note of ended periods that were found billed under the latest code; under an earlier one they
        are asked for each time.

        Args:
            since: the begin.
            until: the end, exclusive.
            scanned_since: events of windows from here on may have been moved into a present period.
            again: whether ended periods that were found billed are asked for again.

        Raises:
            LagoError: Lago is away or refuses us.
        """
        names = list(dict.fromkeys(self._subscriptions(since, until)))
        self._leg.checked = count(len(names), "subscription")
        latest = self._code == self._meter.timeline.latest.code
        again, keeps = again or not latest, latest
        for each in self._lagos_count.compare(names, since, scanned_since=scanned_since, again=again, keeps=keeps):
            self._note(each)

    def _subscriptions(self, since: datetime, until: datetime) -> Iterator[str]:
        for stretch in self._meter.timeline.stretches(since, until):
            if stretch.terms.code == self._code:
                values = {"meter": self._meter.name, "since": stretch.since, "until": stretch.until}
                yield from (name for (name,) in self._ledger.once("verify/subscriptions", values))

    def _note(self, each: Compared) -> None:
        self._leg.unit = each.metric.unit
        kind, day = each.kind, each.period.since.date()
        expected, found = each.metric.value(each.sent), each.metric.value(each.shown)
        if kind is counting.CANT_BE_ASKED:
            found = expected  # nobody knows
        self._leg.days[day].add(expected, found)
        if kind is not None:
            lacking = total([expected, -found])
            number = abs(each.sent.events - each.shown.events) or each.sent.events
            self._leg.count(kind, number, lacking)
            self._leg.show([Difference(kind, day, each.period.subscription[:200], number, lacking)])
