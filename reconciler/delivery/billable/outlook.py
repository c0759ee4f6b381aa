"""Asks Lago what it takes to know whether it bills usage: each metric, plan and subscription once, by lists if many."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime

from reconciler.delivery.billable import metric, plans, zones
from reconciler.delivery.billable.subscribed import Subscribed
from reconciler.delivery.telling import ONE_BY_ONE, Told
from reconciler.lago.client import Lago
from reconciler.lago.questions import Thing
from reconciler.lago.sentences import CantBeAskedError, NotPermittedError
from reconciler.model.windows import keep_to_midnights
from reconciler.report.unbillable import Outlook
from reconciler.report.usage import Reader, Usage, Used, whole
from reconciler.settings.meter import MeterSettings


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
    _told: Told = field(default_factory=dict)
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
        done = Outlook()
        if not used:
            return done
        usage = {name: whole(models) for name, models in used.items()}
        has_metric, metered = self._metric(meter, usage, done)
        if not has_metric:
            return done
        told = Subscribed(self.lago, meter, usage, read, done, self.stay, was_sent=was_sent).see(self._told)
        active = {name: one for name, some in told.items() for one in some if one.get("status") == "active"}
        if metered:
            self._price(metered, used, active, done)
        if not keep_to_midnights(meter.window):
            self._fit(meter, usage, active, done)
        return done

    def _metric(
        self, meter: MeterSettings, usage: Mapping[str, Usage], done: Outlook
    ) -> tuple[bool, plans.Metered | None]:
        """Whether Lago may have a metric, and the one that counts the meter's usage, if it is known."""
        try:
            found = self.lago.metric(meter.event_code)
        except NotPermittedError as error:
            done.untold.append(error.unknown("whether a metric counts usage, and whether plans price it, is not known"))
            return True, None
        if fault := metric.unbillable(meter, found, usage):
            done.unbillable.append(fault)
            return found is not None, None
        return True, plans.Metered(meter, found or {})

    def _price(self, metered: plans.Metered, used: Used, active: Mapping[str, Thing], done: Outlook) -> None:
        """What the plans of active subscriptions don't price, and what the metric does not count."""
        by_plan: dict[str, dict[str, Mapping[str, Usage]]] = defaultdict(dict)
        for name, one in active.items():
            by_plan[str(one.get("plan_code"))][name] = used[name]
        try:
            for code, some in by_plan.items():
                if plan := self._plan(code):
                    done.unbillable += plans.of_plan(metered, code, plan, some)
        except NotPermittedError as error:
            done.untold.append(error.unknown("whether plans price usage is not known"))
        if uncounted := plans.not_counted(metered, used):
            done.unbillable.append(uncounted)

    def _fit(
        self, meter: MeterSettings, usage: Mapping[str, Usage], active: Mapping[str, Thing], done: Outlook
    ) -> None:
        """Whose billing periods begin within a window."""
        customers = {name: str(one.get("external_customer_id")) for name, one in active.items()}
        known: Mapping[str, str | None] = {}
        try:
            known = self._zones_of(set(customers.values()))
        except NotPermittedError as error:
            done.untold.append(error.unknown("whether windows fit their own time zones is not known"))
        by_zone: dict[str, dict[str, Usage]] = defaultdict(dict)
        for name, customer in customers.items():
            if told := known.get(customer) or self.zone:
                by_zone[told][name] = usage[name]
        if unfit := zones.unbillable(meter, by_zone, self.now):
            done.unbillable.append(unfit)

    def _plan(self, code: str) -> Thing | None:
        """A plan, asked for once."""
        if code not in self._plans:
            self.stay()
            self._plans[code] = self.lago.plan(code)
        return self._plans[code]

    def _zones_of(self, customers: set[str]) -> Mapping[str, str | None]:
        """The time zones of customers, by external id; those of many are listed once."""
        if self._zones is None and len(customers) > ONE_BY_ONE:
            self._zones = {}
            for page in self.lago.customers():
                self._zones |= {str(one.get("external_id")): _zone(one) for one in page}
                self.stay()
        if self._zones is not None:
            return self._zones
        found: dict[str, str | None] = {}
        for name in customers:
            self.stay()
            with suppress(CantBeAskedError):
                found[name] = _zone(self.lago.customer(name) or {})
        return found


def _zone(customer: Thing) -> str | None:
    told = customer.get("applicable_timezone")
    return told if isinstance(told, str) else None
