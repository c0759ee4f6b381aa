"""Since when a subscription's present period counts: as the ledger's mirror knows it, or asked for."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from psycopg.rows import namedtuple_row

from reconciler.delivery.mirror import ONE_BY_ONE, lagos_time
from reconciler.lago.client import Lago
from reconciler.lago.sentences import CantBeAskedError
from reconciler.ledger.store import Ledger

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


class Spans:
    """Finds subscriptions of one organization."""

    def __init__(self, ledger: Ledger, lago: Lago, organization: str) -> None:
        """Ask nothing yet; `organization` is Lago's own id of it, empty if it does not tell."""
        self._ledger = ledger
        self._lago = lago
        self._names = {"lago": lago.base, "organization": organization}

    def known(self, names: Collection[str]) -> dict[str, Span]:
        """Subscriptions by name, from the mirror where it knows them: else few are asked for one by one, many listed.

        Raises:
            LagoError: Lago is away or refuses us.
        """
        found: dict[str, Span] = {}
        for row in self._ledger.once(
            "verify/known_subscriptions", self._names | {"external_ids": list(names)}, namedtuple_row
        ):
            if row.status == "active":
                found[row.external_id] = Span("active", row.external_customer_id or "", row.since, row.is_first)
            else:
                found.setdefault(row.external_id, Span(row.status, row.external_customer_id or ""))
        unknown = set(names) - found.keys()
        if len(unknown) > ONE_BY_ONE:
            self._list(unknown, found)
        return found | {name: self.asked(name) for name in sorted(set(names) - found.keys())}

    def asked(self, name: str) -> Span:
        """The subscription of a name, as Lago has it now."""
        try:
            told = self._lago.subscription(name) or self._lago.subscription(name, terminated=True)
        except CantBeAskedError:
            return Span("unknown")
        return _read(told) if told else Span("none")

    def _list(self, unknown: set[str], found: dict[str, Span]) -> None:
        for status in ("active", "terminated"):
            for page in self._lago.subscriptions(status) if len(unknown) > ONE_BY_ONE else ():
                for told in page:
                    if (name := told.get("external_id")) in unknown:
                        found[str(name)] = _read(told)
                        unknown.discard(str(name))
        if len(unknown) > ONE_BY_ONE:
            found |= dict.fromkeys(unknown, Span("none"))


def _read(told: Mapping[str, Any]) -> Span:
    customer = str(told.get("external_customer_id"))
    if told.get("status") != "active":
        return Span("terminated", customer)
    since = latest(told.get("started_at"), told.get("current_billing_period_started_at"))
    is_first = since == latest(told.get("started_at"))
    return Span("active", customer, since, is_first) if since else Span("unknown")


def latest(*moments: Any) -> datetime | None:
    """The latest of Lago's times."""
    return max(filter(None, map(lagos_time, moments)), default=None)
