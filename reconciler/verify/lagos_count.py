"""What Lago counts of subscriptions, beside what was sent: in their present period, and in those that have ended.

One question a subscription. Only where Lago shows something else is it asked again, past its cache.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from sqlalchemy import select

from reconciler.database.postgres import server_clock
from reconciler.delivery.mirror import Mirror
from reconciler.lago.client import Lago
from reconciler.lago.questions import Thing
from reconciler.lago.sentences import CantBeAskedError
from reconciler.ledger import tables
from reconciler.ledger.meters import Meter
from reconciler.ledger.store import Ledger
from reconciler.verify import counting
from reconciler.verify.counting import NOTHING, Metric, added
from reconciler.verify.ended_periods import Compared, EndedPeriods
from reconciler.verify.findings import Kind
from reconciler.verify.sent import Period, Sent, Sums
from reconciler.verify.spans import Span, Spans

Shown = tuple[list[Thing], list[list[Thing]]]
"""Charges as Lago shows them, perhaps from its cache; and past it, for each of our meters."""

LAST = datetime(9999, 1, 1, tzinfo=UTC)
"""The end of a present period, which is not known."""

BY_COST = Metric("", '"transaction_id":', "cost", "USD", compares_units=True)
"""All events, by their cost: where Lago has no metric."""


class LagosCount:
    """Asks what Lago counts of one meter's subscriptions under one event code."""

    def __init__(self, meter: Meter, ledger: Ledger, lago: Lago, code: str) -> None:
        """Ask nothing yet."""
        self._meter = meter
        self._ledger = ledger
        self._lago = lago
        self._code = code
        self._spans = Spans(Mirror(meter, ledger, lago, None, datetime.now(UTC)))

    def compare(
        self, names: Sequence[str], since: datetime, *, scanned_since: datetime, again: bool, keeps: bool = True
    ) -> Iterator[Compared]:
        """Compare the periods of these subscriptions from a moment on.

        Args:
            names: external ids.
            since: earlier usage is not compared.
            scanned_since: events of windows from here on may have been moved into a present period.
            again: whether ended periods that were found billed are asked for again.
            keeps: whether the ledger takes note of those that are found billed.

        Raises:
            LagoError: Lago is away or refuses us.
        """
        with self._ledger.transaction() as connection:
            now = server_clock(connection)
        sums = Sums(self._meter, self._ledger, code=self._code, since=min(since, scanned_since), until=now)
        told = self._lago.metric(self._code) if names else None
        metric = Metric.read(self._code, told) if told else None
        if metric is None:
            kind = counting.NOT_OURS if told else counting.NO_METRIC
            all_of_them = [Period(name, since, LAST) for name in names]
            for period, sent in zip(all_of_them, sums.of(all_of_them, BY_COST), strict=True):
                if sent.last:
                    yield Compared(BY_COST, kind, period, sent.count, NOTHING)
            return
        spans = self._spans.known(names)
        yield from self._present(names, spans, sums, metric)
        ended = EndedPeriods(self._meter, self._ledger, self._lago, metric, sums, since=since, now=now)
        begins = [spans[name].since or LAST for name in names]
        before = sums.of([Period(name, since, begin) for name, begin in zip(names, begins, strict=True)], metric)
        used_before = {name: sent for name, sent in zip(names, before, strict=True) if sent.last}
        yield from ended.compare(used_before, spans, again=again, keeps=keeps)

    def _present(self, names: Sequence[str], spans: dict[str, Span], sums: Sums, metric: Metric) -> Iterator[Compared]:
        """Compare present periods. What differs is looked at again: something may have come meanwhile."""
        differing = []
        for period, sent in self._active(names, spans, sums, metric):
            if agreed := self._agreed(period, spans[period.subscription], sent, metric):
                yield agreed
            else:
                differing.append(period.subscription)
        spans |= {name: self._spans.asked(name) for name in differing}
        # First asked, then summed: what is accepted in between is sent, and not counted yet.
        closely = {name: self._closely(name, spans[name]) for name in differing}
        for period, sent in self._active(differing, spans, sums, metric):
            yield self._judged(period, sent, metric, closely[period.subscription])

    def _active(
        self, names: Sequence[str], spans: dict[str, Span], sums: Sums, metric: Metric
    ) -> list[tuple[Period, Sent]]:
        """The present periods of active subscriptions that have sent something in them, and what."""
        periods = [Period(name, since, LAST) for name in names if (since := spans[name].since)]
        sent = zip(periods, sums.of(periods, metric), strict=True)
        return [(period, each) for period, each in sent if each.last]

    def _agreed(self, period: Period, span: Span, sent: Sent, metric: Metric) -> Compared | None:
        """The present period of an active subscription, if Lago shows of it just what was sent."""
        try:
            shown = metric.worst(self._lago.current_usage(span.customer, period.subscription, self._code), sent.count)
        except CantBeAskedError:
            return None
        if shown is None or not metric.agree(shown, sent.count):
            return None
        return Compared(metric, None, period, sent.count, shown)

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

    def _judged(self, period: Period, sent: Sent, metric: Metric, told: Shown | None) -> Compared:
        """What it means that Lago shows something else."""
        charges, afresh = told or ([], [])
        shown = metric.worst(charges, sent.count)
        if told is None:
            kind: Kind | None = counting.CANT_BE_ASKED
        elif shown is None:
            kind = counting.NO_CHARGE
        else:
            of_meters = [each for one in afresh if (each := metric.worst(one, sent.count))]
            ours = added([*of_meters, sent.taken])  # the callback's names no meter
            kind = counting.judge(metric, sent.count, shown, ours, settled=sent.settled)
        return Compared(metric, kind, period, sent.count, shown or NOTHING)

    def _meters(self) -> list[str]:
        """The ledger's meters that send to this organization."""
        table = tables.meter.c
        here = table.lago == self._meter.lago, table.organization.is_not_distinct_from(self._meter.organization)
        with self._ledger.transaction() as connection:
            return list(connection.scalars(select(table.name).where(*here)))
