"""Credits: what a person has credited in Lago of frozen buckets. They are taken off what is billed, and never sent.

A frozen bucket and the credit that accepts it have one id. It stands for the amounts, too: what has changed since a
person saw it has another.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from decimal import Decimal
from hashlib import sha256
from json import dumps

from psycopg.rows import class_row
from sqlalchemy import Connection, func, update

from reconciler.database.postgres import execute
from reconciler.ledger import tables
from reconciler.model.money import plain
from reconciler.model.windows import utc_text


@dataclass(frozen=True)
class Entry:
    """So much of a bucket; names longer than 200 characters are cut and say so.

    Attributes:
        meter: its meter.
        window_start: its window.
        bucket: its hash.
        number: how many credits the bucket has had before, undone ones too.
        customer: whose usage it is.
        model: by which model.
        input_tokens: prompt tokens, from 0 on as all measures.
        output_tokens: completion tokens.
        cost: USD.
        requests: rows of the spend table.
    """

    meter: str
    window_start: datetime
    bucket: bytes = field(repr=False)
    number: int
    customer: str
    model: str
    input_tokens: int
    output_tokens: int
    cost: Decimal
    requests: int

    @property
    def id(self) -> str:
        """32 hex digits that stand for the bucket, the number and the amounts."""
        bucket = (self.meter, utc_text(self.window_start), self.bucket.hex(), self.number)
        amounts = (self.input_tokens, self.output_tokens, plain(self.cost), self.requests)
        return sha256(dumps([*bucket, *amounts]).encode()).hexdigest()[:32]


@dataclass(frozen=True)
class FrozenBucket(Entry):
    """A frozen bucket: by how much its source total is below what is billed.

    Attributes:
        billed_cost: what is billed of it, USD, less earlier credits.
        source_cost: what the source holds of it, USD: more, if only other measures are below.
        accepted_cost: how much of that Lago has accepted; the rest is on its way, waits for a decision or was given up.
    """

    billed_cost: Decimal
    source_cost: Decimal
    accepted_cost: Decimal


@dataclass(frozen=True)
class Credit(Entry):
    """What was credited in Lago, and counts.

    Attributes:
        accepted_at: when it was put on record.
        accepted_by: by whom.
        reason: why.
    """

    accepted_at: datetime
    accepted_by: str
    reason: str


def standing(connection: Connection, meter: str, customer: str | None = None) -> list[Credit]:
    """The credits of a meter, or of one of its customers, that nobody has undone, oldest window first."""
    values = {"meter": meter, "customer": customer}
    return execute(connection, "ledger/credits", values, class_row(Credit)).fetchall()


def record(connection: Connection, found: Iterable[FrozenBucket], by: str, reason: str) -> None:
    """Put on record that a person has credited what these buckets are below.

    Args:
        connection: the ledger's transaction, which holds the turn of the buckets' meters.
        found: the buckets, as they are now.
        by: who.
        reason: why.
    """
    for each in found:
        values = {name: value for name, value in asdict(each).items() if name not in {"customer", "model"}}
        execute(connection, "ledger/record_credit", values | {"by": by, "reason": reason})


def undo(connection: Connection, found: Sequence[Credit], by: str, reason: str) -> None:
    """Let credits no longer count; they stay on record."""
    table = tables.credit
    for each in found:
        connection.execute(
            update(table)
            .where(
                table.c.meter == each.meter,
                table.c.window_start == each.window_start,
                table.c.bucket == each.bucket,
                table.c.number == each.number,
            )
            .values(undone_at=func.clock_timestamp(), undone_by=by, undone_reason=reason)
        )
