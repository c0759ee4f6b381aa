"""What is seen of the ledger. Pure."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from reconciler.verify.doctor.check import Untold
from reconciler.verify.doctor.source_facts import Server


@dataclass(frozen=True)
class Rights:
    """What our role may do in the ledger's database, as sql/doctor/rights.sql has it."""

    is_there: bool
    may_make: bool
    may_compare: bool
    lacking: Sequence[str]


@dataclass(frozen=True)
class Other:
    """A ledger in the source's database, beside the one that is used.

    Attributes:
        meters: its meters; empty if they can't be read, or there are none.
        last_at: when the last pass of any began.
    """

    meters: Collection[str]
    last_at: datetime | None


@dataclass(frozen=True)
class Runs:
    """How regularly passes begin, as sql/doctor/runs.sql has it."""

    number: int
    last_at: datetime | None
    outcome: str | None
    usually: timedelta | None
    longest: timedelta | None


@dataclass(frozen=True)
class Compared:
    """How a meter's settings compare with what the ledger knows.

    Attributes:
        changed: the sentence that would refuse them; None if a pass would take them.
        twins: the meters that bill the same rows under the same code.
    """

    changed: str | None
    twins: Collection[str]


@dataclass(frozen=True)
class OfMeter:
    """What the ledger knows of one meter.

    Attributes:
        is_known: whether it has it.
        compared: how its settings compare; None if they can't be, as nobody knows where they read.
        troubles: why passes do not do their work, a sentence each.
        runs: how regularly they begin; None if the meter is new.
        alarms: the kinds of alarms that stand and nobody has acknowledged.
        watermark: how far passes have come.
        purge_mark: the window that retention has come to.
        organization: Lago's id of the one that it has sent to.
    """

    is_known: bool
    compared: Compared | None
    troubles: Sequence[str] = ()
    runs: Runs | None = None
    alarms: Sequence[str] = ()
    watermark: datetime | None = None
    purge_mark: datetime | None = None
    organization: str | None = None


@dataclass(frozen=True)
class LedgerFacts:
    """What was seen of the ledger.

    Attributes:
        where: the setting that names it, and its address.
        server: its Postgres.
        mapping: for each meter with a mapping None if that is sound; could it not be asked, it is not there.
        head: the newest migration that this program has.
        version: the newest migration that it has seen; None if there is none yet.
        owner: None if it belongs to nobody who may not own it.
        rights: what our role may do.
        other: another one in the source's database; None if there is none.
        is_beside: whether it is in the source's database itself.
        meters: what it knows of each meter of the settings.
    """

    where: str
    server: Server | Untold
    mapping: Mapping[str, Untold | None]
    head: str
    version: str | Untold | None = None
    owner: Untold | None = None
    rights: Rights | Untold | None = None
    other: Other | Untold | None = None
    is_beside: bool = True
    meters: Mapping[str, OfMeter | Untold] | None = None
