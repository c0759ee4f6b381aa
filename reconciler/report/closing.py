"""What closing a customer's usage has come to, for people and for programs."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Literal, NamedTuple

from psycopg.rows import class_row
from sqlalchemy import Connection, func, select

from reconciler.database.postgres import execute
from reconciler.ledger import tables
from reconciler.ledger.batches import CLOSED_PERIOD, State
from reconciler.model.errors import ReconcileError
from reconciler.model.identity import name_hash
from reconciler.model.money import plain, total
from reconciler.model.visible import brief
from reconciler.model.words import count, minute

Outcome = Literal["closed", "would close", "nothing to close", "not closed"]


@dataclass(frozen=True)
class Called:
    """When a close was called, as the ledger has it.

    Attributes:
        at: the ledger's clock.
        after: the newest batch then.
    """

    at: datetime
    after: int

    @classmethod
    def now(cls, connection: Connection) -> "Called":
        """At this moment."""
        at, after = connection.execute(select(func.clock_timestamp(), func.max(tables.batch.c.id))).one()
        return cls(at, after or 0)


@dataclass(frozen=True)
class Some:
    """A subscription's events of one batch; sql/report/closing.sql says of which.

    Attributes:
        id: the batch.
        state: what has become of them.
        held_for: why they are held, if they are.
        words: why they are not in Lago.
        is_new: whether they were planned since the call.
        is_fresh: whether some are of windows that every pass looks at.
        answered_at: when Lago accepted them.
        is_verified: whether Lago was seen to hold them.
        events: how many.
        cost: USD.
    """

    id: int
    state: State
    held_for: str | None
    words: str | None
    is_new: bool
    is_fresh: bool
    answered_at: datetime | None
    is_verified: bool
    events: int
    cost: Decimal

    @property
    def is_of_before(self) -> bool:
        """Whether another plan makes no difference to them: their period was closed before the call.

        If the plan has changed since, what the call was to bill in time is held for the same reason.
        """
        return self.state == "held" and self.held_for == CLOSED_PERIOD and not (self.is_new and self.is_fresh)


@dataclass
class Closed:
    """What closing has come to for one meter.

    Attributes:
        meter: its name.
        subscription: whose plan may change; None if the mapping lacks the customer.
        events: how many were billed since the call; of a dry run, would be.
        cost: theirs, USD.
        left: those that Lago does not have.
        warnings: what a person should know, a sentence each.
        nothing: why there is nothing to close, if so.
        is_dry: whether nothing was to be written.
        error: what went wrong.
    """

    meter: str
    subscription: str | None = None
    events: int = 0
    cost: Decimal = field(default_factory=Decimal)
    left: list[Some] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    nothing: str | None = None
    is_dry: bool = False
    error: ReconcileError | None = None

    @property
    def exit_code(self) -> int:
        """0 if the plan may change; 1 if Lago does not have all yet; 3 if a person has to decide first."""
        if self.error is not None:
            return self.error.exit_code
        return (1 if any(each.state == "planned" for each in self.left) else 3) if self.left else 0

    @property
    def outcome(self) -> Outcome:
        """In a few words."""
        if self.exit_code:
            return "not closed"
        if self.nothing is not None:
            return "nothing to close"
        return "would close" if self.is_dry else "closed"

    @property
    def told(self) -> str:
        """The same, and why not."""
        if self.error is not None:
            return f"{self.outcome}: {self.error}"
        return f"{self.outcome}: Lago does not have {some(self.left)}" if self.left else self.outcome

    def as_json(self) -> dict[str, Any]:
        """Plain values: money as decimal text in USD."""
        return {
            "meter": self.meter,
            "subscription": self.subscription,
            "outcome": self.outcome,
            "events": self.events,
            "cost": plain(self.cost),
            **{f"events_{state}": self._left(state) for state in ("planned", "held", "quarantined")},
            "cost_left": plain(total(each.cost for each in self.left)),
            "why": self.nothing or next((each.words for each in self.left if each.words), None),
            "warnings": self.warnings,
            "error": str(self.error) if self.error else None,
        }

    def _left(self, state: str) -> int:
        return sum(each.events for each in self.left if each.state == state)


@dataclass(frozen=True)
class Closing:
    """What closing has come to for all meters.

    Attributes:
        customer: whose usage.
        instant: up to when it is billed, by the source's clock.
        meters: a result each.
    """

    customer: str
    instant: datetime
    meters: Sequence[Closed]

    @property
    def exit_code(self) -> int:
        """0 if the plan may change now; else the first that applies of 1 and 3."""
        codes = {each.exit_code for each in self.meters}
        return next((code for code in (1, 3) if code in codes), 0)

    def as_json(self) -> dict[str, Any]:
        """Plain values; the instant in UTC, with its milliseconds."""
        return {
            "customer": self.customer,
            "instant": _as_text(self.instant),
            "meters": [each.as_json() for each in self.meters],
            "error": None,
            "exit_code": self.exit_code,
        }


def standing(
    connection: Connection,
    meter: str,
    subscription: str,
    called: Called,
    *,
    fresh_since: datetime,
    accepted_since: datetime,
) -> list[Some]:
    """What has become of a subscription's events.

    Args:
        connection: the ledger's transaction.
        meter: whose events.
        subscription: whose usage.
        called: when the close was called.
        fresh_since: from which window on accepted ones are told as well.
        accepted_since: since when accepted ones of any window are: Lago may not show them yet.
    """
    values = {
        "meter": meter,
        "subscription": subscription,
        "called_at": called.at,
        "after": called.after,
        "fresh_since": fresh_since,
        "accepted_since": accepted_since,
    }
    return execute(connection, "report/closing", values, class_row(Some)).fetchall()


def frozen_of(connection: Connection, meter: str, subscription: str) -> list[str]:
    """What is said of a subscription's frozen buckets; nothing if it has none."""
    values = {"meter": meter, "subscription": subscription}
    found = execute(connection, "report/frozen_of", values).fetchone()
    if found is None or not found[0]:
        return []
    buckets, cost, first, last = found
    windows = minute(first) if first == last else f"{minute(first)} to {minute(last)}"
    sentence = (
        f"{count(buckets, 'bucket')} of subscription {brief(subscription, 200)!r} {'is' if buckets == 1 else 'are'} "
        f"frozen (windows of {windows}): {plain(cost)} USD more is billed than the spend table holds. The plan's "
        "invoice has it; if it is to be credited, `reconcile frozen` says how."
    )
    return [sentence]


def some(found: Sequence[Some]) -> str:
    """How many events these are, and their cost, in words."""
    events = count(sum(each.events for each in found), "event")
    return f"{events} ({plain(total(each.cost for each in found))} USD)"


def to_the_millisecond(moment: datetime) -> str:
    """A time in UTC."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1000:03}"


class Kept(NamedTuple):
    """What the ledger keeps of a close.

    Attributes:
        subscription: whose plan was to change or end.
        instant: up to when its usage was billed.
        customer: whom the call named.
        closed_by: who called: a login name.
        events: how many events were billed since the call; None while it runs, or if it was cut off.
        cost: theirs, USD.
        outcome: how it ended, in words.
    """

    subscription: str
    instant: datetime
    customer: str
    closed_by: str
    events: int | None
    cost: Decimal | None
    outcome: str | None

    def as_json(self) -> dict[str, Any]:
        """Plain values: money as decimal text in USD."""
        instant, cost = _as_text(self.instant), None if self.cost is None else plain(self.cost)
        return self._asdict() | {"instant": instant, "cost": cost}


def closings(
    connection: Connection, meter: str, subscriptions: Collection[str], since: datetime, until: datetime
) -> list[Kept]:
    """The closes of these subscriptions up to instants in `[since, until)`, the newest first."""
    closing = tables.closing.c
    ids = [name_hash(name) for name in subscriptions]
    query = select(*(closing[name] for name in Kept._fields)).order_by(closing.instant.desc())
    theirs = closing.meter == meter, closing.id.in_(ids), closing.instant >= since, closing.instant < until
    return [Kept(*row) for row in connection.execute(query.where(*theirs))]


def _as_text(moment: datetime) -> str:
    return f"{to_the_millisecond(moment).replace(' ', 'T')}Z"
