"""Periods that have ended: do their invoices have what was sent? Asked for once, until something is sent again."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from reconciler.lago.client import Lago
from reconciler.lago.sentences import CantBeAskedError
from reconciler.lago.subscriptions import lagos_time
from reconciler.ledger.meters import Meter
from reconciler.ledger.store import Ledger
from reconciler.model.money import total
from reconciler.verify import counting
from reconciler.verify.counting import NOTHING, Count, Metric, added
from reconciler.verify.findings import Kind
from reconciler.verify.sent import Period, Sent, Sums
from reconciler.verify.spans import Span

PATIENCE = timedelta(hours=3)
"""So long after a period's end its invoice is awaited."""

PATIENCE_WITH_AN_END = timedelta(minutes=10)
"""So long after an upgrade or an end, which Lago invoices at once."""

_SECOND = timedelta(seconds=1)
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)


class Compared(NamedTuple):
    """One period: by which metric; what is wrong, if anything; what was sent, and what Lago has."""

    metric: Metric
    kind: Kind | None
    period: Period
    sent: Count
    shown: Count


class Billed(NamedTuple):
    """A period that Lago has billed."""

    period: Period
    usage: Mapping[str, Any]


class EndedPeriods:
    """Compares the ended periods of one meter's subscriptions."""

    def __init__(
        self, meter: Meter, ledger: Ledger, lago: Lago, metric: Metric, sums: Sums, *, since: datetime, now: datetime
    ) -> None:
        """Ask nothing yet.

        Args:
            meter: whose usage.
            ledger: keeps up to where subscriptions were found billed.
            lago: who is asked.
            metric: by which it counts.
            sums: what was sent.
            since: earlier usage is not compared.
            now: the ledger's clock, before anything was summed.
        """
        self._meter = meter
        self._ledger = ledger
        self._lago = lago
        self._metric = metric
        self._sums = sums
        self._since = since
        self._now = now

    def compare(
        self, sent: Mapping[str, Sent], spans: Mapping[str, Span], *, again: bool, keeps: bool = True
    ) -> Iterator[Compared]:
        """Compare what was sent of these subscriptions before their present period.

        Args:
            sent: by subscription.
            spans: their present periods.
            again: whether those that were found billed are asked for again.
            keeps: whether the ledger takes note of those that are found billed.

        Raises:
            LagoError: Lago is away or refuses us.
        """
        billed: dict[str, list[Billed]] = {}
        for name in self._to_ask(sent, spans, again=again):
            span, kind = spans[name], counting.CANT_BE_ASKED
            try:
                if span.customer:
                    billed[name] = list(self._billed(name, span.customer, span.since))
                    continue
                if span.status == "none":
                    kind = counting.NO_SUBSCRIPTION
            except CantBeAskedError:
                pass
            yield self._of_no_invoice(kind, name, spans[name], sent[name].count)
        good = set(billed)
        for each in self._compare(billed, sent, spans):
            if each.kind:
                good.discard(each.period.subscription)
            yield each
        if good and keeps:
            until = [spans[name].since or self._now for name in good]
            values = {"meter": self._meter.name, "external_ids": list(good), "until": until, "verified_at": self._now}
            self._ledger.once("verify/keep_billed_periods", values)

    def _to_ask(self, sent: Mapping[str, Sent], spans: Mapping[str, Span], *, again: bool) -> Iterator[str]:
        """Those that were not found billed up to their present period since something was last sent."""
        values = {"meter": self._meter.name, "external_ids": list(sent)}
        known = {name: (until, at) for name, until, at in self._ledger.once("verify/billed_periods", values)}
        for name, each in sent.items():
            until, verified_at = known.get(name, (_NEVER, _NEVER))
            is_billed = (spans[name].since or _NEVER) <= until and each.last is not None and each.last <= verified_at
            if again or not is_billed:
                yield name

    def _billed(self, name: str, customer: str, present_since: datetime | None) -> Iterator[Billed]:
        """The billed periods of a subscription that end after the first moment looked at.

        An end hides its milliseconds; what lies behind the begin of the present period is not before it.
        """
        for usage in self._lago.past_usage(customer, name):
            since, until = lagos_time(usage.get("from_datetime")), lagos_time(usage.get("to_datetime"))
            if since and until and until >= self._since:
                end = until + _SECOND
                if present_since is not None and until <= present_since:
                    end = min(end, present_since)
                yield Billed(Period(name, since, end), usage)

    def _compare(
        self, billed: Mapping[str, list[Billed]], sent: Mapping[str, Sent], spans: Mapping[str, Span]
    ) -> Iterator[Compared]:
        all_billed = [each for periods in billed.values() for each in periods]
        whole = self._sums.of([each.period for each in all_billed], self._metric)
        # A period may begin before the first moment looked at: only its rest is part of what was sent since then.
        rests = [each.period._replace(since=max(each.period.since, self._since)) for each in all_billed]
        covered: dict[str, list[Count]] = {name: [] for name in billed}
        for rest, part in zip(rests, self._sums.of(rests, self._metric), strict=True):
            covered[rest.subscription].append(part.count)
        for (period, usage), of_period in zip(all_billed, whole, strict=True):
            expected, charges = of_period.count, usage.get("charges_usage")
            shown = self._metric.worst(charges if isinstance(charges, list) else [], expected) or NOTHING
            status = None if self._metric.agree(shown, expected) else self._status(usage)
            kind = counting.judge_billed(self._metric, expected, shown, status)
            yield Compared(self._metric, kind, period, expected, shown)
        for name, counts in covered.items():
            all_sent, in_invoices = sent[name].count, added(counts)
            left = Count(all_sent.events - in_invoices.events, total([all_sent.units, -in_invoices.units]))
            if left.events:
                yield self._of_no_invoice(self._unbilled(spans[name]), name, spans[name], left)

    def _of_no_invoice(self, kind: Kind, name: str, span: Span, sent: Count) -> Compared:
        """What was sent before the present period, of which Lago has nothing."""
        return Compared(self._metric, kind, Period(name, self._since, span.since or self._now), sent, NOTHING)

    def _unbilled(self, span: Span) -> Kind:
        patience = PATIENCE_WITH_AN_END if span.is_first or span.since is None else PATIENCE
        return counting.judge_unbilled(span.since or _NEVER, self._now, patience)

    def _status(self, usage: Mapping[str, Any]) -> object:
        """The status of the invoice that a billed period is in."""
        invoice = self._lago.invoice(str(usage.get("lago_invoice_id")))
        return invoice.get("status") if invoice else None
