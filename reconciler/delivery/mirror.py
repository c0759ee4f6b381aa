"""The mirror: what Lago has told of subscriptions, kept in the ledger, so that none is asked for twice in a span.

Facts: lago section 16, "Asking for subscriptions".
"""

from collections import defaultdict
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from psycopg.rows import scalar_row
from sqlalchemy import ARRAY, ColumnElement, Connection, LargeBinary, any_, bindparam, delete, literal, select
from sqlalchemy.dialects.postgresql import insert

from reconciler.database.postgres import execute
from reconciler.delivery.spans import Subscription, spans_of
from reconciler.delivery.telling import ONE_BY_ONE, Telling, Told
from reconciler.lago.client import Lago
from reconciler.lago.questions import Thing
from reconciler.lago.subscriptions import read, storable
from reconciler.ledger import tables
from reconciler.ledger.meters import Meter
from reconciler.ledger.store import Ledger
from reconciler.model.errors import LagoAwayError

ASKED_AGAIN_AFTER = timedelta(minutes=10)
"""So long after the last question it is asked whether usage that was sent without a subscription has one now."""

_INVOICES = 100
_NONE_IS_GOOD_FOR = timedelta(hours=1)
_MOMENT = timedelta(minutes=1)

table = tables.subscription

_INVOICES_SEEN = select(tables.lago.c.invoices).where(tables.lago.c.base == bindparam("of"))


@dataclass
class Mirror:
    """The subscriptions of a meter's organization, as the ledger knows them. Its questions raise what `Lago`'s do.

    Attributes:
        meter: whose usage goes to them.
        ledger: where they are kept.
        lago: who is asked.
        organization: Lago's own id of the organization; None if it does not tell: then it is the one as ever.
        now: when the pass began.
    """

    meter: Meter
    ledger: Ledger
    lago: Lago
    organization: str | None
    now: datetime
    _seen: list[str] | None = None
    _customers: dict[str, list[Thing]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Gather what statements that read the mirror may name."""
        organization = self.organization or self.meter.organization or ""
        self.names = {"lago": self.lago.base, "organization": organization, "now": self.now}
        self.telling = Telling(self.lago, self.ledger.stay)
        self.key = f"{self.lago.base} {organization} "
        """What an id is the SHA-256 of, with the external id behind it: raw text is in no B-tree."""

    def begin(self, connection: Connection) -> None:
        """See which invoices passes have seen, before Lago is asked for anything that is kept."""
        self._seen = connection.scalar(_INVOICES_SEEN, {"of": self.lago.base})

    def forget_ended(self) -> None:
        """Forget those whose customers have a final invoice since the last pass: their span has ended.

        Raises:
            NotPermittedError: the key may not read invoices.
        """
        page = self.lago.newest_invoices(_INVOICES)
        before, seen = self._seen, [str(invoice.get("lago_id"))[:100] for invoice in page]
        if seen == before:
            return
        new = [invoice for invoice, id_ in zip(page, seen, strict=True) if id_ not in set(before or ())]
        customers = [invoice.get("customer") for invoice in new]
        names = [str(one.get("external_id")) for one in customers if isinstance(one, dict)]
        # More than a page since then: any of them may have ended.
        all_of_them = before is None or (len(page) >= _INVOICES and len(new) == len(page))
        here = (table.c.lago == self.lago.base) & (table.c.organization == self.names["organization"])
        lagos = tables.lago
        with self.ledger.transaction() as connection:
            row = insert(lagos).values(base=self.lago.base, invoices=seen)
            connection.execute(row.on_conflict_do_update(index_elements=["base"], set_={"invoices": seen}))
            which = here if all_of_them else here & table.c.external_customer_id.in_(list(filter(storable, names)))
            connection.execute(delete(table).where(which))
        self._seen = seen

    def learn(self) -> bool:
        """Ask for the unknown subscriptions of planned batches; those that can't be asked for stay unknown.

        Some of those of whom nobody knew a subscription when their usage was sent are asked for again.

        Returns:
            Whether some of the events may lie in no present period.

        Raises:
            NotPermittedError: the key may not read subscriptions.
        """
        values = {"meter": self.meter.name, "key": self.key, "now": self.now}
        some = values | {"before": self.now - ASKED_AGAIN_AFTER, "most": ONE_BY_ONE}
        with self.ledger.transaction(planning=True) as connection:
            rows = execute(connection, "delivery/unknown_subscriptions", values).fetchall()
            unsubscribed = execute(connection, "delivery/claim_unsubscribed", some, scalar_row).fetchall()
        unknown = [external_id for external_id, is_unknown, *_ in rows if is_unknown]
        are_many = len(unknown) > ONE_BY_ONE
        self._learn(unknown if are_many else [row[0] for row in rows if row[1] or row[2]][:ONE_BY_ONE])
        with suppress(LagoAwayError):  # of these names alone: what is sent is another question
            self._learn(unsubscribed)
        return are_many or any(doubtful for *_, doubtful in rows)

    def subscriptions(self, external_ids: Iterable[str]) -> dict[str, list[Subscription]]:
        """What is known of these: none of a name that nobody has; an unknown name is left out."""
        ids = [self._id(external_id) for external_id in external_ids]
        known: dict[str, list[Subscription]] = defaultdict(list)
        with self.ledger.transaction() as connection:
            rows = connection.execute(select(table).where(_among(ids), table.c.good_until > self.now))
            for row in rows.mappings():
                known[row["external_id"]] += spans_of([dict(row)])
        return known

    def ask(self, external_id: str) -> list[Subscription]:
        """The present or the last subscription of an external id, asked for now; nothing is kept."""
        return spans_of(self._rows(external_id, self.telling.ask(external_id)))

    def told(self, external_ids: Collection[str]) -> dict[str, list[Subscription]]:
        """What Lago tells of these now; nothing is kept. Whom Lago can't be asked for is left out."""
        found = [each for some in self.telling.tell(external_ids) for each in some.items()]
        return {external_id: spans_of(self._rows(external_id, told)) for external_id, told in found}

    def all_of(self, external_id: str, customer: str) -> list[Subscription]:
        """All subscriptions that an external id has and had, asked for now and kept."""
        if customer not in self._customers:
            self._customers[customer] = [one for page in self.lago.subscriptions(customer=customer) for one in page]
        found = [one for one in self._customers[customer] if one.get("external_id") == external_id]
        self._keep({external_id: found})
        return spans_of(self._rows(external_id, found))

    def _learn(self, external_ids: Collection[str]) -> None:
        for told in self.telling.tell(external_ids):
            self._keep(told)

    def _keep(self, found: Told) -> None:
        """Keep what was told, unless another pass has learned meanwhile that spans have ended: then it may be old.

        One pass at a time: two that kept the same names, each in its own order, would lock each other out.
        """
        kept = [(external_id, told) for external_id, told in found.items() if storable(external_id)]
        rows = [row for external_id, told in kept for row in self._rows(external_id, told)]
        if not rows:
            return
        with self.ledger.transaction() as connection:
            if connection.scalar(_INVOICES_SEEN.with_for_update(), {"of": self.lago.base}) == self._seen:
                connection.execute(delete(table).where(_among({row["id"] for row in rows})))
                connection.execute(insert(table).on_conflict_do_nothing(), rows)

    def _rows(self, external_id: str, told: Iterable[Thing]) -> list[dict[str, Any]]:
        """What the ledger keeps of them; one row says that there is none."""
        fixed: dict[str, Any] = {
            "id": self._id(external_id),
            "lago": self.lago.base,
            "organization": self.names["organization"],
            "external_id": external_id,
            "asked_at": self.now,
        }
        rows: list[dict[str, Any]] = [
            fixed | read(one) for one in told if one.get("status") in {"active", "terminated"}
        ]
        rows = rows or [fixed | read({"status": "none"})]
        ends = [row["period_ends_at"] or self.now for row in rows if row["status"] == "active"]
        good_until = self.now + (_MOMENT if ends else _NONE_IS_GOOD_FOR)
        good_until = max(good_until, min(ends, default=self.now) + timedelta(seconds=1))
        return [row | {"number": number, "good_until": good_until} for number, row in enumerate(rows)]

    def _id(self, external_id: str) -> bytes:
        return sha256((self.key + external_id).encode("utf-8", "replace")).digest()


def _among(ids: Iterable[bytes]) -> ColumnElement[bool]:
    """Whether a row is of one of these: one parameter, as Postgres takes 65,535 at most."""
    return table.c.id == any_(literal(list(ids), ARRAY(LargeBinary)))
