"""Asks Lago what it takes to know whether it bills usage: each metric, plan and subscription once, by lists if many."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime

from reconciler.delivery.billable import metric, plans, zones
from reconciler.delivery.billable.subscribed import Subscribed
from reconciler.delivery.billable.tariffs import Tariff, Tariffs
from reconciler.delivery.telling import ONE_BY_ONE, Told
from reconciler.lago.client import Lago
from reconciler.lago.questions import Thing
from reconciler.lago.sentences import CantBeAskedError, NotPermittedError
from reconciler.model.visible import brief
from reconciler.model.windows import keep_to_midnights
from reconciler.model.words import count
from reconciler.report.unbillable import Outlook, Unknown
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
    _zones: dict[str, str | None] | None = None
    _tariffs: Tariffs = field(init=False)

    def __post_init__(self) -> None:
        """Ask about plans as about all else."""
        self._tariffs = Tariffs(self.lago, self.stay)

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
            means = "whether a metric counts usage, and whether plans price it, is not known"
            done.untold.append(Unknown("plans", error.unknown(means)))
            return True, None
        if fault := metric.unbillable(meter, found, usage):
            done.unbillable.append(fault)
            return found is not None, None
        return True, plans.Metered(meter, found or {})

    def _price(self, metered: plans.Metered, used: Used, active: Mapping[str, Thing], done: Outlook) -> None:
        """What the plans of active subscriptions don't price, and what the metric does not count."""
        try:
            for tariff in self._tariffs.of(active, used):
                self._price_by(metered, tariff, done)
        except NotPermittedError as error:
            done.untold.append(Unknown("plans", error.unknown("whether plans price usage is not known")))
        if uncounted := plans.not_counted(metered, used):
            done.unbillable.append(uncounted)

    def _price_by(self, metered: plans.Metered, tariff: Tariff, done: Outlook) -> None:
        """What one plan does not price."""
        if tariff.plan is None or not isinstance(tariff.plan.get("charges"), list):
            named, whose = brief(tariff.code, 100), count(len(tariff.used), "subscription")
            says = f"Lago does not show the plan {named!r}: whether it prices usage of {whose} is not known."
            done.untold.append(Unknown("plans", says))
            return
        found = plans.of_plan(metered, tariff.code, tariff.plan, tariff.used)
        if tariff.since is not None:
            found = plans.later(found, tariff.since)
        for one in found:
            unseen = 0 if tariff.is_own or one.is_on_purpose else self._tariffs.unseen(one.whose)
            why = f"Of {count(unseen, 'name')} Lago was not asked for prices of their own." if unseen else ""
            done.unbillable.append(replace(one, why=why))

    def _fit(
        self, meter: MeterSettings, usage: Mapping[str, Usage], active: Mapping[str, Thing], done: Outlook
    ) -> None:
        """Whose billing periods begin within a window."""
        customers = {name: str(one.get("external_customer_id")) for name, one in active.items()}
        known: Mapping[str, str | None] = {}
        try:
            known = self._zones_of(set(customers.values()))
        except NotPermittedError as error:
            means = "whether windows fit their own time zones is not known"
            done.untold.append(Unknown("time zones", error.unknown(means)))
        else:
            if lost := set(customers.values()) - known.keys():
                whose = count(len(lost), "customer")
                says = f"Lago can't be asked for {whose}: whether windows fit their own time zones is not known."
                done.untold.append(Unknown("time zones", says))
        by_zone: dict[str, dict[str, Usage]] = defaultdict(dict)
        for name, customer in customers.items():
            if told := known.get(customer) or self.zone:
                by_zone[told][name] = usage[name]
        if unfit := zones.unbillable(meter, by_zone, self.now):
            done.unbillable.append(unfit)

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
