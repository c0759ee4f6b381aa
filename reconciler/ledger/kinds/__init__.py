"""The kinds of alarm: what each says, and how much there is of it. Pure: of figures, sentences.

Most follow from how a meter stands and clear themselves. Incidents are things that happened: they stay until a
person acknowledges them.
"""

from collections.abc import Iterator

from reconciler.ledger.balance import Balance
from reconciler.ledger.kinds import delivery, source, usage
from reconciler.ledger.kinds.alarm import Alarm
from reconciler.ledger.passes import Passes, Patience

INCIDENTS = ("overtaken", "clock")

OF_DELIVERY = ("foreign", "metric")
"""What only delivery finds, and clears."""


def of(balance: Balance, passes: Passes, patience: Patience) -> Iterator[Alarm]:
    """The alarms that follow from how a meter stands, and from how the passes over it have gone."""
    yield from delivery.behind(balance, passes, patience, failing=delivery.BEHIND)
    for kind in (
        delivery.quarantined,
        delivery.conflict,
        delivery.held,
        usage.frozen,
        usage.unmapped,
        delivery.unsubscribed,
        usage.suspect,
        usage.unpriced,
        source.local_time,
        source.empty,
        source.purged,
        usage.late,
        source.silent,
    ):
        yield from kind(balance)
