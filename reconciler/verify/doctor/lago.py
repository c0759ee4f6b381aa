"""Lago: whether it can be asked, by our key, and whether it is the one that it should be. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from reconciler.lago.organization import Organization
from reconciler.lago.stores import Store
from reconciler.model.words import length
from reconciler.report.unbillable import Outlook
from reconciler.verify.doctor.check import Check, Mark, Untold
from reconciler.verify.doctor.rows import CLOCKS

WITHOUT = {
    "write event": (Mark.BAD, "nothing can be sent"),
    "read event": (Mark.BAD, "nothing is sent: what Lago holds already would not be known"),
    "read organization": (Mark.LOOK, "a key of another organization would not be noticed"),
    "read billable_metric": (Mark.LOOK, "an event code that has no metric would not be noticed"),
    "read subscription": (Mark.LOOK, "usage of closed periods is sent as well, and in no invoice"),
    "read invoice": (Mark.LOOK, "an upgrade or an end is noticed late, and usage of a period that is over is sent"),
    "read plan": (Mark.LOOK, "whether the customers' plans price usage is not known"),
    "read customer": (Mark.LOOK, "whether windows fit the customers' own time zones is not known"),
    "read customer_usage": (Mark.LOOK, "usage of a period that is over is sent, and may be in no invoice"),
}
"""The permissions that delivery asks for, and what is so without each; docs/delivery.md has the same."""


@dataclass(frozen=True)
class Foreign:
    """Events of a meter's code that this ledger has not sent.

    Attributes:
        who: who did, as far as they show it: a key of `producers.CURES`.
        is_twice: whether they count for subscriptions that this ledger bills in the same windows.
        events: how many.
        last_at: the newest one's time.
    """

    who: str
    is_twice: bool
    events: int
    last_at: datetime


@dataclass(frozen=True)
class Arrived:
    """What has arrived in Lago of a meter's code of late.

    Attributes:
        foreign: what was not of this ledger.
        is_whole: whether all of it was looked through, and not only the newest.
        is_whole_between: whether all was that lies between our own, where the callback's is.
        is_compared: whether the ledger could be asked which events are its own.
    """

    foreign: Sequence[Foreign]
    is_whole: bool = True
    is_whole_between: bool = True
    is_compared: bool = True


@dataclass(frozen=True)
class LagoFacts:
    """What was seen of Lago.

    Attributes:
        base: its address.
        away: why it can't be reached; None if it can.
        refused: why it does not take our key, or is no Lago; None if all is well.
        organization: whose key it is; None if Lago does not tell.
        may: of each permission whether the key has it; one that could not be asked about is not there.
        store: its event store.
        ahead: by how much its clock is ahead of the source's; None if one of them is not known.
        metrics: of each meter its metric, None if there is none.
        outlook: what Lago would not bill of the last day's usage.
        arrived: what has arrived of late, by meter.
    """

    base: str
    away: str | None = None
    refused: str | None = None
    organization: Organization | None = None
    may: Mapping[str, bool] = field(default_factory=dict)
    store: Store | Untold | None = None
    ahead: timedelta | None = None
    metrics: Mapping[str, Mapping[str, Any] | Untold | None] = field(default_factory=dict)
    outlook: Outlook | Untold | None = None
    arrived: Mapping[str, Arrived | Untold] = field(default_factory=dict)


def lago_checks(facts: LagoFacts, organizations: Mapping[str, str | None], *, deduplication: bool) -> Iterator[Check]:
    """All that can be said of Lago itself; what can't be asked is left out.

    Args:
        facts: what was seen.
        organizations: Lago's id of the one that each meter has sent to; None if it has not.
        deduplication: RECONCILE_DEDUPLICATION.
    """
    if facts.away is not None:
        yield Check("Lago", Mark.BAD, facts.away)
        return
    yield Check("Lago", Mark.GOOD, f"{facts.base} answers.")
    if facts.refused is not None:
        yield Check("API key", Mark.BAD, facts.refused)
        return
    yield Check("API key", Mark.GOOD, "Lago takes it.")
    yield from permissions(facts.may)
    yield from organization(facts.organization, organizations)
    if facts.store is not None:
        yield store(facts.store, deduplication=deduplication)
    if facts.ahead is not None:
        yield clock(facts.ahead)


def permissions(may: Mapping[str, bool]) -> Iterator[Check]:
    """Whether the key may do all that delivery does."""
    lacking = [name for name in WITHOUT if may.get(name) is False]
    for name in lacking:
        mark, means = WITHOUT[name]
        yield Check("permissions", mark, f"The key may not {name}: {means}.", "Give it that permission in Lago.")
    if lacking:
        return
    if unasked := [name for name in WITHOUT if name not in may]:
        yield Check("permissions", Mark.LOOK, f"Whether the key may {', '.join(unasked)} could not be asked.")
    else:
        yield Check("permissions", Mark.GOOD, "It may write events, and read all that delivery asks for.")


def organization(told: Organization | None, known: Mapping[str, str | None]) -> Iterator[Check]:
    """Whether it is the one that the meters have sent to."""
    if told is None:
        yield Check(
            "organization",
            Mark.LOOK,
            "Lago does not tell whose key it is: the key may not read that, or this Lago is very old.",
            "Give the key the permission to read organization.",
        )
        return
    for meter, sent_to in known.items():
        if sent_to not in {None, told.id}:
            yield Check(
                "organization",
                Mark.BAD,
                f"It has sent to Lago's organization {sent_to}, and LAGO_API_KEY is a key of {told.id}.",
                "Set the old key back; or, if the organization has moved, run `reconcile --adopt` once.",
                meter,
            )
    if not any(sent_to not in {None, told.id} for sent_to in known.values()):
        zone = f", time zone {told.timezone}" if told.timezone else ""
        yield Check("organization", Mark.GOOD, f"{told.id}{zone}.")


def store(found: Store | Untold, *, deduplication: bool) -> Check:
    """Whether accepted is stored, and repeating is harmless."""
    if isinstance(found, Untold):
        return Check("event store", Mark.LOOK, found.why)
    if found == "postgres":
        return Check("event store", Mark.GOOD, "Postgres: what is accepted is stored, and no id counts twice.")
    what = "ClickHouse" if found == "clickhouse" else "Unknown, as this Lago is too old to say"
    if deduplication:
        return Check(
            "event store", Mark.GOOD, f"{what}; RECONCILE_DEDUPLICATION says that a repeated event counts once."
        )
    return Check(
        "event store",
        Mark.LOOK,
        f"{what}: accepted is on its way, and a repeated event may count twice.",
        "If the organization has clickhouse_deduplication_enabled, set RECONCILE_DEDUPLICATION=true; else let "
        "`reconcile verify` run daily.",
    )


def clock(ahead: timedelta) -> Check:
    """Whether periods end for Lago when they end for us."""
    side = "ahead of" if ahead > timedelta(0) else "behind"
    if abs(ahead) > CLOCKS:
        return Check(
            "Lago's clock",
            Mark.LOOK,
            f"It is {length(abs(ahead))} {side} the source's: at the end of a period usage may come too late for its "
            "invoice.",
            "Mend the clock that is wrong (NTP).",
        )
    return Check("Lago's clock", Mark.GOOD, "It agrees with the source's, within seconds.")
