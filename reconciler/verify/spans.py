"""Since when a subscription's present period counts: as the ledger's mirror knows it, or asked for."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from reconciler.delivery.mirror import Mirror
from reconciler.delivery.spans import Subscription
from reconciler.lago.sentences import CantBeAskedError

Status = Literal["active", "terminated", "none", "unknown"]


@dataclass(frozen=True)
class Span:
    """What is known of the subscription of a name.

    Attributes:
        status: `none` if Lago knows none, `unknown` if it can't be asked.
        customer: its external customer id; empty if there is none.
        since: when the present period of an active one began; None if it is not active.
        is_first: whether the subscription began with that period: the one before was another's, or there was none.
    """

    status: Status
    customer: str = ""
    since: datetime | None = None
    is_first: bool = False


@dataclass(frozen=True)
class Spans:
    """Finds the subscriptions of a meter's organization. Its questions raise what `Lago`'s do."""

    mirror: Mirror

    def known(self, names: Collection[str]) -> dict[str, Span]:
        """Subscriptions by name, from the mirror where it knows them; of the others few are asked for, many listed."""
        found = self.mirror.subscriptions(names)
        found |= self.mirror.told(set(names) - found.keys())
        return {name: _read(found[name]) if name in found else Span("unknown") for name in names}

    def asked(self, name: str) -> Span:
        """The subscription of a name, as Lago has it now."""
        try:
            return _read(self.mirror.ask(name))
        except CantBeAskedError:
            return Span("unknown")


def _read(found: Sequence[Subscription]) -> Span:
    for one in found:
        if one.ended_at is None:
            return Span("active", one.customer or "", one.present_since, is_first=one.started_at == one.present_since)
    return Span("terminated", found[0].customer or "") if found else Span("none")
