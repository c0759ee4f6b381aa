"""Leg d: does Lago count what it was sent? Current usage for the present period, past usage for those that have ended.

One question a subscription. Only where Lago shows something else is it asked again, past its cache.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime

from sqlalchemy import func, select

from reconciler.lago.client import Lago
from reconciler.lago.questions import Thing
from reconciler.lago.sentences import CantBeAskedError
from reconciler.ledger import tables
from reconciler.ledger.meters import Meter
from reconciler.ledger.store import Ledger
from reconciler.model.money import total
from reconciler.model.words import count
from reconciler.verify import counting
from reconciler.verify.counting import NOTHING, Count, Metric, added
from reconciler.verify.ended_periods import EndedPeriods
from reconciler.verify.findings import Difference, Kind, Leg
from reconciler.verify.sent import Period, Sent, Sums
from reconciler.verify.spans import Span, Spans

Shown = tuple[list[Thing], list[list[Thing]]]
"""Charges as Lago shows them, perhaps from its cache; and past it, for each of our meters."""

_LAST = datetime(9999, 1, 1, tzinfo=UTC)

_BY_COST = Metric("", '"transaction_id":', "cost", "USD", compares_units=True)
"""All events, by their cost: where Lago has no metric."""


class EventsAndCount:
    """Compares what one meter has sent with what Lago counts."""

    def __init__(self, meter: Meter, ledger: Ledger, lago: Lago, leg: Leg) -> None:
        """Ask nothing yet; note in `leg` what is found."""
        self._meter = meter
        self._ledger = ledger
        self._lago = lago
        self._leg = leg
        self._code = meter.timeline.latest.code
        self._spans = Spans(ledger, lago, meter.organization or "")

    def run(self, since: datetime, until: datetime, *, scanned_since: datetime, again: bool) -> None:
        """Compare the periods of subscriptions with usage in `[since, until)`.

        Args:
            since: the begin.
            until: the end, exclusive.
            scanned_since: events of windows from here on may have been moved into a present period.
            again: whether ended periods that were found billed are asked for again.

        Raises:
            LagoError: Lago is away or refuses us.
        """
        with self._ledger.transaction() as connection:
            now = connection.scalar(select(func.clock_timestamp()))
        assert now is not None
        values = {"meter": self._meter.name, "since": since, "until": until}
        names = [name for (name,) in self._ledger.once("verify/subscriptions", values)]
        sums = Sums(self._meter, self._ledger, code=self._code, since=min(since, scanned_since), until=now)
        told = self._lago.metric(self._code) if names else None
        metric = Metric.read(self._code, told) if told else None
        self._leg.checked = count(len(names), "subscription")
        if metric is None:
            kind = counting.NOT_OURS if told else counting.NO_METRIC
            all_of_them = [Period(name, since, _LAST) for name in names]
            for name, sent in zip(names, sums.of(all_of_them, _BY_COST), strict=True):
                self._note(_BY_COST, kind, name, since.date(), sent.count, NOTHING)
            return
        self._leg.unit = metric.unit
        spans = self._spans.known(names)
        self._present(names, spans, sums, metric)
        ended = EndedPeriods(self._meter, self._ledger, self._lago, metric, sums, since=since, now=now)
        begins = [spans[name].since or _LAST for name in names]
        before = sums.of([Period(name, since, begin) for name, begin in zip(names, begins, strict=True)], metric)
        used_before = {name: sent for name, sent in zip(names, before, strict=True) if sent.last}
        for each in ended.compare(used_before, spans, again=again):
            self._note(metric, *each)

    def _present(self, names: Sequence[str], spans: dict[str, Span], sums: Sums, metric: Metric) -> None:
        """Compare present periods. What differs is looked at again: something may have come meanwhile."""
        differing = [
            name
            for name, span, sent in self._active(names, spans, sums, metric)
            if self._differs(name, span, sent, metric)
        ]
        spans |= {name: self._spans.asked(name) for name in differing}
        # First asked, then summed: what is accepted in between is sent, and not counted yet.
        closely = {name: self._closely(name, spans[name]) for name in differing}
        for name, span, sent in self._active(differing, spans, sums, metric):
            self._explain(name, span, sent, metric, closely[name])

    def _active(
        self, names: Sequence[str], spans: dict[str, Span], sums: Sums, metric: Metric
    ) -> list[tuple[str, Span, Sent]]:
        """Those of active subscriptions that have sent something in their present period, and what."""
        periods = [Period(name, since, _LAST) for name in names if (since := spans[name].since)]
        sent = zip(periods, sums.of(periods, metric), strict=True)
        return [(name, spans[name], each) for (name, _, _), each in sent if each.last]

    def _differs(self, name: str, span: Span, sent: Sent, metric: Metric) -> bool:
        """Whether Lago shows something else for an active subscription than was sent; if not, note that."""
        assert span.since is not None
        try:
            shown = metric.worst(self._lago.current_usage(span.customer, name, self._code), sent.count)
        except CantBeAskedError:
            return True
        if shown is None or not metric.agree(shown, sent.count):
            return True
        self._note(metric, None, name, span.since.date(), sent.count, shown)
        return False

    def _closely(self, name: str, span: Span) -> Shown | None:
        """What Lago shows for an active subscription, and past its cache for our meters; None if it can't be asked."""
        if span.since is None:
            return None
        try:
            shown = self._lago.current_usage(span.customer, name, self._code)
            afresh = [
                self._lago.current_usage(span.customer, name, self._code, of_meter=meter) for meter in self._meters()
            ]
        except CantBeAskedError:
            return None
        return shown, afresh

    def _explain(self, name: str, span: Span, sent: Sent, metric: Metric, told: Shown | None) -> None:
        """Note what it means that Lago shows something else."""
        assert span.since is not None
        charges, afresh = told or ([], [])
        shown = metric.worst(charges, sent.count)
        if told is None:
            kind: Kind | None = counting.CANT_BE_ASKED
        elif shown is None:
            kind = counting.NO_CHARGE
        else:
            ours = added(each for one in afresh if (each := metric.worst(one, sent.count)))
            kind = counting.judge(metric, sent.count, shown, ours, settled=sent.settled)
        self._note(metric, kind, name, span.since.date(), sent.count, shown or NOTHING)

    def _meters(self) -> list[str]:
        """The ledger's meters that send to this organization."""
        table = tables.meter.c
        here = table.lago == self._meter.lago, table.organization.is_not_distinct_from(self._meter.organization)
        with self._ledger.transaction() as connection:
            return list(connection.scalars(select(table.name).where(*here)))

    def _note(self, metric: Metric, kind: Kind | None, name: str, day: date, sent: Count, shown: Count) -> None:
        expected, found = metric.value(sent), metric.value(shown)
        if kind is counting.CANT_BE_ASKED:
            found = expected  # nobody knows
        self._leg.days[day].add(expected, found)
        if kind is not None:
            lacking = total([expected, -found])
            number = abs(sent.events - shown.events) or sent.events
            self._leg.count(kind, number, lacking)
            self._leg.show([Difference(kind, day, name[:200], number, lacking)])
