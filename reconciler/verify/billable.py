"""Whose usage of late Lago would not bill, by the spend table as it is: no ledger is needed, and nothing is kept."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from reconciler.capture.seen import Seen
from reconciler.capture.source import Sight, Source
from reconciler.capture.subscriptions import Subscriptions
from reconciler.delivery.billable.outlook import Outlooks
from reconciler.lago.client import Lago
from reconciler.ledger.store import Ledger
from reconciler.report.unbillable import Outlook
from reconciler.report.usage import Slice, Usage, Used
from reconciler.settings.meter import MeterSettings


def outlook(
    meters: Sequence[MeterSettings], source: Source, sight: Sight, ledger: Ledger, lago: Lago, *, since: datetime
) -> Outlook:
    """See what Lago would not bill of what was used from a moment on.

    Usage that a subscription covered when it was used counts as sent in time, and so as billed. Whom the mapping lacks
    is left out: `reconcile customers --unmapped` lists them.

    Args:
        meters: whose usage.
        source: the spend table.
        sight: what it looks like.
        ledger: where a mapping table is; its own tables need not be there.
        lago: who is asked: a few lists, each plan once, and more only of names that can't be billed.
        since: from when on.

    Raises:
        ReconcileError: the spend table or the mapping can't be read, or Lago is away or refuses us.
    """
    organization = lago.organization()
    outlooks = Outlooks(lago, organization.timezone if organization else None, sight.now)
    found = Outlook()
    for meter in meters:
        seen = _SeenBySubscription.of(meter, Seen(meter, source, sight, since), ledger)
        found.add(outlooks.of(meter, seen.used, seen.within, was_sent=True))
    return found


class _SeenBySubscription(NamedTuple):
    """What the spend table shows of one meter's usage, by the subscription that its events name."""

    seen: Seen
    customers: Mapping[str, Sequence[str]]
    used: Used

    @classmethod
    def of(cls, meter: MeterSettings, seen: Seen, ledger: Ledger) -> "_SeenBySubscription":
        """Read it once."""
        by_customer, _ = seen.usage()
        with ledger.transaction() as connection:
            names = Subscriptions(meter).of(connection, list(by_customer))
        customers: dict[str, list[str]] = defaultdict(list)
        used: dict[str, dict[str, Usage]] = defaultdict(dict)
        for customer, models in by_customer.items():
            if (name := names[customer]) is not None:
                customers[name].append(customer)
                for model, usage in models.items():
                    used[name][model] = used[name].get(model, Usage()).and_(usage)
        return cls(seen, customers, used)

    def within(self, slices: Sequence[Slice]) -> list[Usage]:
        """How much of it lies in each slice of a subscription."""
        numbered = [
            (number, one._replace(name=customer))
            for number, one in enumerate(slices)
            for customer in self.customers[one.name]
        ]
        found = [Usage() for _ in slices]
        read = self.seen.within([one for _, one in numbered])
        for (number, _), usage in zip(numbered, read, strict=True):
            found[number] = found[number].and_(usage)
        return found
