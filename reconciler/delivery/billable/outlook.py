"""Asks Lago what it takes to know whether it bills usage: each metric, plan and subscription once, by lists if many."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime

from reconciler.delivery.billable import lives, plans, zones
from reconciler.delivery.billable.metric import countable, metric_fault
from reconciler.delivery.billable.plans import Metered
from reconciler.delivery.invoices import Invoices
from reconciler.delivery.spans import Billed, Subscription
from reconciler.delivery.telling import ONE_BY_ONE, Telling, Told
from reconciler.lago.client import Lago
from reconciler.lago.questions import Thing
from reconciler.lago.sentences import CantBeAskedError, NotPermittedError
from reconciler.model.durations import format_duration
from reconciler.model.visible import brief
from reconciler.model.windows import keep_to_midnights
from reconciler.report.unbillable import Kind, Outlook, Unbillable
from reconciler.report.usage import Reader, Slice, Usage, Used, together, whole
from reconciler.settings.meter import MeterSettings

ASKED_ABOUT = 20
"""Of so many names, those with the most cost first, all subscriptions and invoices are asked for."""

_HELD = (
    "Passes hold it: `reconcile held release --all --move` then bills it in the present period, or invoice it by hand "
    "and discard it."
)
_SENT = "RECONCILE_CLOSED_PERIOD=send sends it all the same, and no invoice has it: invoice it by hand."
_WHAT: Mapping[lives.Kind, str] = {
    "began later": "from before a subscription began",
    "ended": "that no subscription bills any more, since it has ended",
    "upgraded": "from before an upgrade, at which Lago made its invoice at once",
    "closed period": "from before the present billing period",
}
_CURE: Mapping[lives.Kind, str] = {"ended": "If such a customer is to go on, subscribe it again in Lago. "}


@dataclass
class Outlooks:
    """Looks ahead for meters of one organization. What the key may not read is said; other questions raise as `Lago`'s.

    Attributes:
        lago: who is asked.
        zone: the organization's time zone, in which its customers' days begin; None if Lago does not tell.
        now: the source's clock.
        stay: called between questions, such as `Ledger.stay`.
    """

    lago: Lago
    zone: str | None
    now: datetime
    stay: Callable[[], None] = lambda: None
    _plans: dict[str, Thing | None] = field(default_factory=dict)
    _zones: dict[str, str | None] | None = None

    def of(self, meter: MeterSettings, used: Used, read: Reader, *, was_sent: bool) -> Outlook:
        """What of a meter's usage Lago would not bill.

        Args:
            meter: its settings.
            used: the usage.
            read: reads how much of it lies in slices.
            was_sent: whether passes have sent it in time; else it is about to be sent.
        """
        return _One(self, meter, used, read, was_sent=was_sent).look() if used else Outlook()

    def plan(self, code: str) -> Thing | None:
        """A plan, asked for once."""
        if code not in self._plans:
            self._plans[code] = self.lago.plan(code)
        return self._plans[code]

    def zones(self, customers: set[str]) -> dict[str, str | None]:
        """The time zones of customers, by external id; those of many are listed once."""
        if len(customers) <= ONE_BY_ONE:
            found = {}
            for name in customers:
                with suppress(CantBeAskedError):
                    found[name] = _zone(self.lago.customer(name) or {})
            return found
        if self._zones is None:
            self._zones = {}
            for page in self.lago.customers():
                self._zones |= {str(one.get("external_id")): _zone(one) for one in page}
                self.stay()
        return self._zones


class _One:
    """The outlook of one meter's usage."""

    def __init__(self, asking: Outlooks, meter: MeterSettings, used: Used, read: Reader, *, was_sent: bool) -> None:
        self._asking, self._lago = asking, asking.lago
        self._meter, self._used, self._read, self._was_sent = meter, used, read, was_sent
        self._whole = {name: whole(models) for name, models in used.items()}
        self._telling = Telling(asking.lago, asking.stay)
        self._invoices: Invoices | None = Invoices(asking.lago)
        self._done = Outlook()

    def look(self) -> Outlook:
        metered = self._metric()
        if metered is not None and not metered.metric:
            return self._done
        told = self._told()
        self._lives(told)
        active = {name: one for name, some in told.items() for one in some if one.get("status") == "active"}
        if metered:
            self._plans(metered, active)
        self._zones(active)
        return self._done

    def _metric(self) -> Metered | None:
        """The metric, if it counts our usage; one of nothing if Lago has none."""
        code = self._meter.event_code
        try:
            metric = self._lago.metric(code)
        except NotPermittedError as error:
            self._untold(error, "whether a metric counts this usage, and whether plans price it, is not known")
            return None
        if metric is None:
            self._add(
                "no metric",
                f"under the code {code!r}, for which Lago has no billable metric",
                "Mend LAGO_API_EVENT_CODE, or make the metric: `reconcile setup`.",
                self._whole,
            )
            return Metered(self._meter, {})
        if fault := metric_fault(metric, countable(self._meter)):
            self._add(
                "metric",
                f"for the metric {code!r}, which {fault}",
                "Mend it in Lago, or make another and name it by LAGO_API_EVENT_CODE.",
                self._whole,
            )
            return None
        return Metered(self._meter, metric)

    def _told(self) -> Told:
        """What Lago tells of each name: its active subscription, or else others."""
        told: Told = {}
        try:
            for some in self._telling.tell(self._used):
                told |= some
            if nobody := {name for name, some in told.items() if not some}:
                for page in self._lago.subscriptions("pending"):
                    for one in page:
                        if (name := str(one.get("external_id"))) in nobody:
                            told[name].append(one)
        except NotPermittedError as error:
            self._untold(error, "whether usage has a subscription, and a plan that prices it, is not known")
            told = {}
        self._done.unknown = len(self._used) - len(told)
        return told

    def _lives(self, told: Told) -> None:
        """What no subscription bills."""
        without = {name: self._whole[name] for name, some in told.items() if not some}
        if without:
            since = min(first for usage in without.values() if (first := usage.first_window))
            self._add(
                "no subscription",
                "without a subscription in Lago",
                f"Make one of that external id that reaches back (subscription_at) to {since:%Y-%m-%d %H:%M} UTC, as "
                "`reconcile setup --customers` does within the present billing period, or mend RECONCILE_SUBSCRIPTION "
                "or RECONCILE_MAPPING.",
                without,
            )
        waiting = {name: at for name, some in told.items() if not lives.begun(some) and (at := lives.begins_at(some))}
        if waiting:
            self._add(
                "not begun",
                f"of a subscription that is yet to begin ({min(waiting.values())} or later)",
                "Let it begin earlier in Lago (subscription_at), which its present billing period allows.",
                {name: self._whole[name] for name in waiting},
            )
        slices = list(self._slices({name: some for name, some in told.items() if lives.begun(some)}))
        read = self._read([slice_ for slice_, _ in slices])
        by_kind: dict[lives.Kind, list[tuple[str, Usage, lives.Part]]] = defaultdict(list)
        for (slice_, part), usage in zip(slices, read, strict=True):
            if usage.events:
                by_kind[part.kind].append((slice_.name, usage, part))
        for kind, some in by_kind.items():
            self._add_lives(kind, some)

    def _add_lives(self, kind: lives.Kind, some: Sequence[tuple[str, Usage, lives.Part]]) -> None:
        name, _, part = max(some, key=lambda one: one[1].cost)
        cure = _CURE.get(kind, "") + (_SENT if self._meter.closed_period == "send" else _HELD)
        whose = together((name, usage) for name, usage, _ in some)
        why = f"Of {brief(name, 100)}: {part.words}."
        self._done.unbillable.append(Unbillable(kind, self._meter.name, _WHAT[kind], cure, whose, why=why))

    def _slices(self, told: Told) -> Iterator[tuple[Slice, lives.Part]]:
        """Where usage may lie that is not billed; all is asked about the names with the most cost."""
        asked = 0
        for name in sorted(told, key=lambda name: self._whole[name].cost, reverse=True):
            spans, found = lives.begun(told[name]), []
            if any(self._may_lie_in(part, name) for part in lives.parts(spans, None, was_sent=self._was_sent)):
                billed: list[Billed] | None = None
                if asked < ASKED_ABOUT:
                    asked += 1
                    spans, billed = self._ask(name, told[name])
                is_moved = self._meter.closed_period == "move" and any(one.ended_at is None for one in spans)
                found = [] if is_moved else lives.parts(spans, billed, was_sent=self._was_sent)
            yield from ((Slice(name, part.since, part.until), part) for part in found if self._may_lie_in(part, name))

    def _ask(self, name: str, told: list[Thing]) -> tuple[list[Subscription], list[Billed] | None]:
        """All subscriptions of a name, and its periods that have an invoice; None if Lago can't tell."""
        spans = lives.begun(told)
        customer = spans[0].customer
        if customer is None:
            return spans, None
        try:
            pages = self._lago.subscriptions(customer=customer)
            all_of_them = lives.begun(one for page in pages for one in page if one.get("external_id") == name)
            self._asking.stay()
            return all_of_them or spans, self._billed(customer, name)
        except CantBeAskedError:
            return spans, None

    def _billed(self, customer: str, name: str) -> list[Billed] | None:
        if self._was_sent or self._invoices is None:
            return None
        try:
            billed = self._invoices.billed(customer, name)
        except NotPermittedError as error:
            self._untold(error, "whether the invoice of a period that is over still takes usage is not known")
            self._invoices = None
            return None
        self._asking.stay()
        return billed

    def _may_lie_in(self, part: lives.Part, name: str) -> bool:
        usage = self._whole[name]
        assert usage.first_window is not None
        assert usage.last_window is not None
        return part.may_hold(usage.first_window, usage.last_window + self._meter.window)

    def _plans(self, metered: Metered, active: Mapping[str, Thing]) -> None:
        """What the plans of active subscriptions don't price."""
        by_plan: dict[str, dict[str, Mapping[str, Usage]]] = defaultdict(dict)
        for name, one in active.items():
            by_plan[str(one.get("plan_code"))][name] = self._used[name]
        try:
            for code, used in by_plan.items():
                self._asking.stay()
                if plan := self._asking.plan(code):
                    self._done.unbillable += plans.of_plan(metered, code, plan, used)
        except NotPermittedError as error:
            self._untold(error, "whether plans price this usage is not known")
        if uncounted := plans.not_counted(metered, self._used):
            self._done.unbillable.append(uncounted)

    def _zones(self, active: Mapping[str, Thing]) -> None:
        """Whose billing periods begin within a window."""
        window = self._meter.window
        if keep_to_midnights(window) or not active:
            return
        customers = {name: str(one.get("external_customer_id")) for name, one in active.items()}
        try:
            known = self._asking.zones(set(customers.values()))
        except NotPermittedError as error:
            known = {}
            self._untold(error, "whether windows fit their own time zones is not known")
        by_zone: dict[str, dict[str, Usage]] = defaultdict(dict)
        for name, customer in customers.items():
            if told := known.get(customer) or self._asking.zone:
                by_zone[told][name] = self._whole[name]
        unfit = [
            (told, zone)
            for told in by_zone
            if (zone := zones.zone_of(told)) and not zones.keeps_to_midnights(zone, window, self._asking.now)
        ]
        if not unfit:
            return
        fitting = format_duration(zones.fitting([zone for _, zone in unfit], window, self._asking.now))
        self._add(
            "time zone",
            f"in windows of {format_duration(window)}, within one of which their billing periods begin "
            f"({', '.join(sorted(told for told, _ in unfit)[:3])}): what that window holds from before midnight is "
            "billed in the next period, and never if the subscription ends then",
            f"Set RECONCILE_WINDOW={fitting}, and run `reconcile --adopt` once.",
            {name: usage for told, _ in unfit for name, usage in by_zone[told].items()},
        )

    def _add(self, kind: Kind, what: str, cure: str, whose: Mapping[str, Usage]) -> None:
        self._done.unbillable.append(Unbillable(kind, self._meter.name, what, cure, whose))

    def _untold(self, error: NotPermittedError, means: str) -> None:
        self._done.untold.append(error.unknown(means))


def _zone(customer: Thing) -> str | None:
    told = customer.get("applicable_timezone")
    return told if isinstance(told, str) else None
