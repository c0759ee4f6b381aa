"""The balance of a meter: what is on its way, what is stuck, what can't be billed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from psycopg.rows import class_row, dict_row
from sqlalchemy import Connection

from reconciler.database.postgres import execute

PARTS = ("delivery", "unbilled", "unsubscribed", "source")
"""Statements of their own: one that joined all their figures would take Postgres longer to plan than to answer."""

NEW = timedelta(hours=1)
"""A proxy that is set up together with its meter may have served nobody yet."""


@dataclass(frozen=True)
class Whose:
    """Whose usage is not billed as it should be, for one reason.

    Attributes:
        why: the reason, as sql/capture/unbilled_customers.sql has it.
        number: how many customers that is.
        customers: at most three of them, those with the most cost first; names are cut.
        requests: how many rows of each.
        costs: how much of each, USD.
    """

    why: str
    number: int
    customers: Sequence[str]
    requests: Sequence[int]
    costs: Sequence[Decimal]


@dataclass(frozen=True)
class Balance:
    """The figures of one meter, of all time; unattributed and unpriced usage over the horizon. Costs in USD.

    Attributes:
        planned_events: waiting to be delivered.
        planned_since: since when the oldest of them waits.
        planned_for: how long that is.
        planned_failure: what was seen when one of them last went in vain; None if nothing was.
        planned_names: whose they are: subscriptions, at most three, those with the most cost first; long names are
            cut. So for the other `…_names`.
        planned_costs: how much of each, USD. So for the other `…_costs`.
        planned_in_part: whether there are so many that the names and costs are only of the batches that cost most.
        quarantined_events: refused by Lago for good, those in conflict among them.
        quarantined_names: whose those are that are not in conflict.
        quarantined_answer: why some of the first are.
        conflicting_events: Lago holds another event under their id.
        held_events: not sent until a person decides.
        held_answer: why some of the first are held.
        stuck_in_part: the same of what is quarantined or held.
        discarded_events: given up by a person, with a reason.
        frozen_buckets: buckets whose source total is below what was billed.
        credited_buckets: credits on record, which a person has accepted for frozen buckets.
        taken_over_requests: rows that LiteLLM's callback has billed, taken over at a cut-over.
        unmapped_buckets: usage of customers that the operator's mapping lacks.
        unmapped_since: the earliest window that has some.
        unsubscribed_events: sent for names of which Lago knows no subscription, or one that began too late.
        unsubscribed_number: how many names that is.
        unsubscribed_names: whose it is, at most three, those with the most cost first; names are cut.
        unsubscribed_costs: how much of each, USD.
        unsubscribed_since: the earliest window of it.
        unsubscribed_too_early: how many names have a subscription that began later than their usage.
        unsubscribed_for: how long ago the first of it was sent.
        unattributed_rows: rows without a customer.
        unpriced_rows: billed rows with tokens and no cost that were no cache hits, over the horizon.
        unpriced_tokens: their tokens.
        unpriced_models: their models, those that are used most often first.
        suspect_rows: rows with negative, NaN or infinite spend, or negative tokens.
        late_rows: rows that arrived in windows which retention has reached.
        silent: no rows for three hours, where the same hours of last week had some.
        purge_mark: the window that retention has come to.
        source_clock: the source's clock at the last pass of a day; None if there was none.
        newest_row: the start of the newest row then; None if there was none.
        arrivals: how often a pass of a day found another newest row than the one before.
        late_by: by how much these rows were late when they arrived, at least, each of them.
        latest_by: by how much one of them was, at least.
        nearest: how near to the source's clock they were at best when a pass found them.
        empty_for: how long the meter has been there, if the source has no row, and never had one; else None.
        whose: whose usage is unmapped, frozen, suspect or late, by that word; what looked last before the ledger kept
            names has none.
    """

    planned_events: int
    planned_cost: Decimal
    planned_since: datetime | None
    planned_for: timedelta | None
    planned_failure: str | None
    planned_names: list[str]
    planned_costs: list[Decimal]
    planned_in_part: bool
    quarantined_events: int
    quarantined_cost: Decimal
    quarantined_names: list[str]
    quarantined_costs: list[Decimal]
    quarantined_answer: str | None
    conflicting_events: int
    conflicting_cost: Decimal
    conflicting_names: list[str]
    conflicting_costs: list[Decimal]
    held_events: int
    held_cost: Decimal
    held_names: list[str]
    held_costs: list[Decimal]
    held_answer: str | None
    stuck_in_part: bool
    discarded_events: int
    discarded_cost: Decimal
    frozen_buckets: int
    frozen_cost: Decimal
    credited_buckets: int
    credited_cost: Decimal
    taken_over_requests: int
    taken_over_cost: Decimal
    unmapped_buckets: int
    unmapped_cost: Decimal
    unmapped_since: datetime | None
    unsubscribed_events: int
    unsubscribed_cost: Decimal
    unsubscribed_number: int
    unsubscribed_names: list[str]
    unsubscribed_costs: list[Decimal]
    unsubscribed_since: datetime | None
    unsubscribed_too_early: int
    unsubscribed_for: timedelta | None
    unattributed_rows: int
    unattributed_cost: Decimal
    unpriced_rows: int
    unpriced_tokens: int
    unpriced_models: list[str]
    suspect_rows: int
    late_rows: int
    late_cost: Decimal
    silent: bool
    purge_mark: datetime | None
    source_clock: datetime | None
    newest_row: datetime | None
    arrivals: int
    late_by: timedelta | None
    latest_by: timedelta | None
    nearest: timedelta | None
    empty_for: timedelta | None
    whose: Mapping[str, Whose]

    @property
    def is_new_and_empty(self) -> bool:
        """Whether there is no row yet, and the proxy may be as new as the meter."""
        return self.empty_for is not None and self.empty_for < NEW


def balance(connection: Connection, meter: str, horizon: datetime) -> Balance:
    """Read how the meter stands, its unattributed usage from `horizon` on."""
    values = {"meter": meter, "horizon": horizon}
    figures: dict[str, Any] = {}
    for part in PARTS:
        row = execute(connection, f"ledger/balance/{part}", values, dict_row).fetchone()
        assert row is not None, "a meter has been made before it is asked about"
        figures |= row
    whose = execute(connection, "ledger/balance/whose", values, class_row(Whose)).fetchall()
    return Balance(**figures, whose={each.why: each for each in whose})
