"""What is seen of the spend table. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from reconciler.verify.doctor.check import Untold


@dataclass(frozen=True)
class Server:
    """What a Postgres says of itself.

    Attributes:
        version: as it writes it.
        is_replica: whether it only replays another's changes.
        behind: how long ago what a replica has replayed last was written.
        is_read_only: whether transactions are read-only by default.
        role: ours.
        now: its clock.
    """

    version: str
    is_replica: bool
    behind: timedelta | None
    is_read_only: bool
    role: str
    now: datetime


@dataclass(frozen=True)
class Layout:
    """How the spend table is made, as sql/doctor/layout.sql has it."""

    rows: int
    partitions: int
    is_hidden: bool
    may_write: bool
    is_indexed: bool
    has_legacy: bool


@dataclass(frozen=True)
class Table:
    """The spend table.

    Attributes:
        where: its database and schema.
        columns: all of them, those that may not be read too.
        now: the source's clock; on a replica the last transaction that it has replayed.
        layout: how it is made.
    """

    where: str
    columns: frozenset[str]
    now: datetime
    layout: Layout


class Scan(NamedTuple):
    """How Postgres would read a part of the table, by which column's index, and at what cost by its reckoning."""

    part: str
    is_indexed: bool
    cost: float


class Rows(NamedTuple):
    """So many rows, and what they cost."""

    rows: int
    cost: Decimal


Verdicts = Mapping[str, Rows]
"""The rows of the last day, by what they are to a meter: the words of sql/capture/totals.sql."""


@dataclass(frozen=True)
class SourceFacts:
    """What was seen of the source.

    Attributes:
        where: the setting that names it, and its address.
        server: its Postgres.
        table: the spend table.
        columns: for each meter None if all that it needs can be read.
        scans: how the statement of a fresh look would read it.
        verdicts: the last day, for each meter.
        week_ago: how many rows the day a week before had; asked only where the last day has none.
        oldest: the start of the oldest row, None if there is none.
        newest: that of the newest.
        here: this machine's clock when the server told its own.
    """

    where: str
    server: Server | Untold
    here: datetime
    table: Table | Untold | None = None
    columns: Mapping[str, Untold | None] | None = None
    scans: Sequence[Scan] | Untold | None = None
    verdicts: Mapping[str, Verdicts | Untold] | None = None
    week_ago: int | None = None
    oldest: datetime | Untold | None = None
    newest: datetime | Untold | None = None


@dataclass(frozen=True)
class Billing:
    """What others know that matters to the source.

    Attributes:
        horizon: how far back late rows are looked for.
        one_database: whether the ledger is beside the spend table.
        purge_mark: the window that retention has come to.
        watermark: how far passes have come, of all meters the least.
    """

    horizon: timedelta
    one_database: bool
    purge_mark: datetime | None = None
    watermark: datetime | None = None
