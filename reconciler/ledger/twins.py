"""Twins: two meters that would bill the same rows under one code of one organization. Lago would count all of it twice.

Which meters are twins follows from what the ledger says of each, whatever state its events are in. So a change is made
first and then looked at, under a lock that all meters share; who finds a new twin takes the change back.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection

from reconciler.database.postgres import execute
from reconciler.ledger import meters
from reconciler.ledger.meters import Meter
from reconciler.model.errors import MeterChangedError

FOR_EVER = datetime.max.replace(tzinfo=UTC)

_TWICE = (
    "Meter {name!r} would bill what meter {twin!r} bills already, from the same database to the same event code: Lago "
    "would count it twice."
)

NEW = (
    f"{_TWICE} Nothing was done. Choose: use RECONCILE_METER={{twin}}; give this new meter another "
    "LAGO_API_EVENT_CODE; or, if that is meant, or LAGO_API_KEY is one of another organization, run "
    "`reconcile --adopt` once."
)
"""Why a new meter is refused."""

EMPTY = (
    f"With these settings: {_TWICE} Nothing was done. Choose: set them back; give it another LAGO_API_EVENT_CODE; or, "
    "if that is meant, run `reconcile --adopt` once."
)
"""Why changed settings of a meter without events are refused."""

CHANGED = (
    f"With these settings: {_TWICE} Nothing was done. Choose: set them back; give it another LAGO_API_EVENT_CODE; or, "
    "if two bills are meant, make the second a meter of its own, with another RECONCILE_METER and `reconcile --adopt`."
)
"""Why changed settings of a meter that has billed are refused, declared or not."""

EARLIER = (
    f"By this --since: {_TWICE} Nothing was done. Choose: a later --since; or, if that is meant, the same with --adopt."
)
"""Why a scope that reaches further back is refused."""

ORGANIZATION = (
    f"LAGO_API_KEY is one of the organization that another meter sends to. {_TWICE} Nothing was sent. Choose: use "
    "RECONCILE_METER={twin}; another key; or, if that is meant, run `reconcile --adopt` once."
)
"""Why a meter may not send to the organization that its key turns out to be one of."""


@dataclass(frozen=True)
class Claim:
    """What a meter bills.

    Attributes:
        meter: its state.
        since: the first window that is in its scope.
    """

    meter: Meter
    since: datetime

    def shares(self, other: "Claim") -> bool:
        """Whether some row may be billed by both, to one code of one organization."""
        mine, theirs = self.meter, other.meter
        if mine.source != theirs.source or not _one_organization(mine, theirs):
            return False
        since = max(self.since, other.since)
        return any(
            one.terms.may_share_usage(another.terms)
            for one in mine.timeline.stretches(since, FOR_EVER)
            for another in theirs.timeline.stretches(one.since, one.until)
        )


def one_at_a_time(connection: Connection) -> None:
    """Let one transaction at a time say what a meter bills, until it ends."""
    execute(connection, "ledger/one_at_a_time")


def of(connection: Connection, name: str, *, since: datetime | None = None) -> set[str]:
    """The names of the meter's twins.

    Args:
        connection: the ledger's transaction.
        name: the meter; the ledger may have none of that name yet.
        since: where its scope is to begin, if that is earlier than it does.
    """
    claims = _claims(connection)
    mine = claims.pop(name, None)
    if mine is None:
        return set()
    mine = Claim(mine.meter, min(mine.since, since or mine.since))
    return {other for other, claim in claims.items() if mine.shares(claim)}


def if_it_were(connection: Connection, meter: Meter) -> set[str]:
    """The names of the twins that a meter would have from its start on, were it as given; nothing is locked."""
    claims, mine = _claims(connection), Claim(meter, meter.start)
    return {other for other, claim in claims.items() if other != meter.name and mine.shares(claim)}


def _claims(connection: Connection) -> dict[str, Claim]:
    """What each meter of the ledger bills, by its name."""
    found = execute(connection, "ledger/twins").fetchall()
    return {
        each: Claim(meter, first.astimezone(UTC)) for each, first in found if (meter := meters.load(connection, each))
    }


@contextmanager
def no_new_one(connection: Connection, name: str, why: str, *, since: datetime | None = None) -> Iterator[None]:
    """Let the body change what a meter bills, unless that makes it another meter's twin.

    Args:
        connection: the ledger's transaction, which has called `one_at_a_time`.
        name: the meter, which the body may make.
        why: the sentence that refuses it.
        since: where the meter's scope is to begin, if that is earlier than it does.

    Raises:
        MeterChangedError: it does; the caller's transaction takes the change back.
    """
    before = of(connection, name)
    yield
    if new := sorted(of(connection, name, since=since) - before):
        raise MeterChangedError(why.format(name=name, twin=new[0]))


def _one_organization(mine: Meter, theirs: Meter) -> bool:
    """Whether both send to one organization: by Lago's own id of it, or by the address while that is not known."""
    if mine.organization is not None and theirs.organization is not None:
        return mine.organization == theirs.organization
    return mine.lago == theirs.lago
