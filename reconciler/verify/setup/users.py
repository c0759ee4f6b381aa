"""Whose usage the spend table holds, by the subscription that events would name."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from reconciler.capture.seen import Seen
from reconciler.capture.source import Sight, Source
from reconciler.capture.subscriptions import Subscriptions
from reconciler.ledger.store import Ledger
from reconciler.model.money import plain
from reconciler.model.terms import BEGINNING
from reconciler.model.visible import brief
from reconciler.model.words import count
from reconciler.report.usage import Slice, Usage, largest, together, whole
from reconciler.settings.load import Settings
from reconciler.settings.meter import MeterSettings
from reconciler.verify.setup.subscribing import Wanted


class _OfMeter(NamedTuple):
    """What one meter sees: each subscription's customers in the spend table, and what they used."""

    seen: Seen
    customers: Mapping[str, Mapping[str, Usage]]


class Users:
    """The users of all meters, from a moment on."""

    def __init__(self, settings: Settings, source: Source, ledger: Ledger, sight: Sight, since: datetime) -> None:
        """Read the spend table once for each kind of usage, and the mapping.

        Raises:
            ReconcileError: one of them can't be read.
        """
        self._ledger = ledger
        self.unnamed: list[str] = []
        """Who can have no subscription, a sentence for each meter."""
        self._meters = [self._see(meter, Seen(meter, source, sight, since)) for meter in _kinds(settings.meters)]

    def wanted(self) -> Iterator[Wanted]:
        """Each subscription that events name. Where several customers share one, Lago's customer is called like it."""
        found: dict[str, Wanted] = {}
        for _, subscriptions in self._meters:
            for subscription, customers in subscriptions.items():
                usage = whole(customers)
                customer = next(iter(customers)) if len(customers) == 1 else subscription
                before = found.get(subscription)
                if before is None or before.usage.cost < usage.cost:
                    found[subscription] = Wanted(before.customer if before else customer, subscription, usage)
        yield from found.values()

    def before(self, moments: Mapping[str, datetime]) -> dict[str, Usage]:
        """What lies before a moment of each subscription; of meters that see the same name, the most."""
        found: dict[str, Usage] = {}
        for seen, subscriptions in self._meters:
            slices = [
                (name, Slice(customer, BEGINNING, moment))
                for name, moment in moments.items()
                for customer in subscriptions.get(name, ())
            ]
            read = seen.within([slice_ for _, slice_ in slices])
            usage = together((name, used) for (name, _), used in zip(slices, read, strict=True) if used.events)
            found |= {name: used for name, used in usage.items() if name not in found or found[name].cost < used.cost}
        return found

    def _see(self, meter: MeterSettings, seen: Seen) -> _OfMeter:
        by_model, too_long = seen.usage()
        usage = {customer: whole(models) for customer, models in by_model.items()}
        with self._ledger.transaction() as connection:
            names = Subscriptions(meter).of(connection, list(usage))
        customers: dict[str, dict[str, Usage]] = defaultdict(dict)
        unmapped: dict[str, Usage] = {}
        for customer, used in usage.items():
            if (name := names[customer]) is None:
                unmapped[customer] = used
            else:
                customers[name][customer] = used
        if unmapped:
            shown = ", ".join(f"{brief(name, 100)!r} ({plain(used.cost)} USD)" for name, used in largest(unmapped))
            self.unnamed.append(
                f"RECONCILE_MAPPING lacks {count(len(unmapped), 'customer')} of meter {meter.name!r} with "
                f"{plain(whole(unmapped).cost)} USD: {shown}. Add them, and run `reconcile setup` again."
            )
        if too_long:
            self.unnamed.append(
                f"{count(too_long, 'customer')} of meter {meter.name!r} can have no subscription: the name is too long "
                "for Lago. Exclude them (RECONCILE_EXCLUDE), or let clients send shorter names."
            )
        return _OfMeter(seen, customers)


def _kinds(meters: Iterable[MeterSettings]) -> Iterable[MeterSettings]:
    """The meters; of those that see the same usage of the same subscriptions one: no row is read twice."""
    return {(replace(meter.terms, code=""), meter.subscription, meter.mapping): meter for meter in meters}.values()
