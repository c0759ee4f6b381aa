"""Whose usage it is: what each customer was billed, and who can't be billed."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import psycopg
from psycopg.rows import class_row

from reconciler.database.statements import statement
from reconciler.ledger.store import Ledger, open_ledger
from reconciler.model.money import plain
from reconciler.report.kept import kept
from reconciler.report.status import meter_names, require_ledger
from reconciler.report.summary import iso
from reconciler.settings.load import Settings

_AT_ONCE = 1000


class Line:
    """A line of a list; each has a cost in USD, exact."""

    cost: Decimal

    @classmethod
    def columns(cls) -> list[str]:
        """The names of its values, in order."""
        return list(cls.__match_args__)  # type: ignore[attr-defined]

    def as_json(self) -> dict[str, Any]:
        """Plain values: times as ISO text in UTC, costs as decimal text."""
        return {name: plain_value(value) for name, value in vars(self).items()}


@dataclass(frozen=True)
class Customer(Line):
    """What a customer was billed by a meter; names longer than 200 characters are cut and say so.

    Attributes:
        status: of the subscription, as Lago last told: `active`, `ended`, `none`, `not asked`, or `began later` than
            some usage that was sent.
        taken_over_cost: what LiteLLM's callback has billed, taken over at a cut-over.
        credited_cost: what a person has credited in Lago by hand; the other costs are of events.
    """

    meter: str
    customer: str
    subscription: str
    status: str
    events: int
    requests: int
    input_tokens: int
    output_tokens: int
    cost: Decimal
    planned_cost: Decimal
    held_cost: Decimal
    quarantined_cost: Decimal
    discarded_cost: Decimal
    taken_over_cost: Decimal
    credited_cost: Decimal
    first_window: datetime
    last_window: datetime


@dataclass(frozen=True)
class Unmapped(Line):
    """The usage of a customer that the mapping lacks."""

    meter: str
    customer: str
    buckets: int
    requests: int
    cost: Decimal
    first_window: datetime
    last_window: datetime


@dataclass(frozen=True)
class Unattributed(Line):
    """A day's usage of a model without a customer."""

    meter: str
    day: date
    model: str
    requests: int
    input_tokens: int
    output_tokens: int
    cost: Decimal


def customers(
    settings: Settings, meter: str | None, since: datetime, *, unsubscribed: bool, limit: int | None
) -> Iterator[Customer]:
    """What was billed for each customer, those with the most cost first; memory stays flat.

    All is read before the first is given: no transaction waits for a reader that pauses.

    Args:
        settings: where the ledger is.
        meter: only this one.
        since: from this window on.
        unsubscribed: only those of whom Lago knows no subscription.
        limit: at most so many.

    Raises:
        LedgerError: there is no ledger yet, or it has no such meter.
        ReconcileError: a long list finds no room in the folder for temporary files.
    """
    ledger = open_ledger(settings)
    with ledger.transaction() as connection:
        require_ledger(connection)
        meter_names(connection, meter)
    values = {"meter": meter, "since": since, "limit": limit, "unsubscribed": unsubscribed}
    return kept(_stream(ledger, values), Customer)


def _stream(ledger: Ledger, values: Mapping[str, Any]) -> Iterator[Customer]:
    """The rows, some at a time by a cursor of the server's, which ends with the transaction."""
    with ledger.transaction() as connection:
        driver = connection.connection.driver_connection
        assert isinstance(driver, psycopg.Connection)
        with driver.cursor("customers", row_factory=class_row(Customer)) as rows:
            rows.itersize = _AT_ONCE
            rows.execute(statement("report/customers"), values)
            yield from rows


def plain_value(value: object) -> object:
    """A value as programs get it: a time as ISO text in UTC, a cost as decimal text."""
    match value:
        case Decimal():
            return plain(value)
        case datetime():
            return iso(value)
        case date():
            return value.isoformat()
        case _:
            return value
