"""Billing periods: what Lago will still bill is sent, what it will not is held or moved. Design, section 7."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from typing import Literal, NamedTuple

from msgspec.structs import replace
from psycopg.rows import args_row
from sqlalchemy import Connection

from reconciler.database.postgres import execute
from reconciler.delivery.ask_first import refuse_moved_before
from reconciler.delivery.invoices import Invoices
from reconciler.delivery.mirror import Mirror
from reconciler.delivery.spans import (
    CLOSED_FOR,
    Billed,
    Subscription,
    Verdict,
    first_sure_stamp,
    follows_close,
    judge,
)
from reconciler.lago.sentences import CantBeAskedError, NotPermittedError
from reconciler.ledger.batches import CLOSED_PERIOD, Part, Seen, together
from reconciler.ledger.outbox import split
from reconciler.report.figures import Delivered
from reconciler.settings.meter import ClosedPeriod

ASKED_ABOUT = {"held": 50, "planned": 150}
"""Of so many external ids a pass asks for invoices, about 0.2 s each; the others wait for the next one."""

_BATCHES = 500
"""So many batches are looked at in one go."""

_GOES = Part((), "planned", open=True)
_WAITS = replace(_GOES, failure="Lago was not asked yet, or can't be asked, whether it will still bill this")

NOTICED_LATE = "a subscription that was upgraded or has ended is noticed late"
SENT_AS_WELL = "usage of closed billing periods is sent as well, and Lago may never bill it"
"""What it means that the key may not read invoices, or subscriptions."""


class Doubtful(NamedTuple):
    """Events of a batch that share external id and timestamp and do not lie in a present period.

    All of them bill usage, or all take it back.
    """

    id: int
    attempt: int
    state: Literal["planned", "held"]
    events: int
    answer: str | None
    is_open: bool
    external_id: str
    at: datetime
    takes_back: bool
    closed_at: datetime | None
    places: list[int]


class Fate(NamedTuple):
    """What becomes of such events: a part without places, the timestamp that they move to, whether it may change."""

    part: Part
    stamp: str | None = None
    may_change: bool = False


@dataclass
class Periods:
    """Tells one meter's events that Lago will not bill, and does with them what the settings say.

    Attributes:
        mirror: the subscriptions that its usage goes to.
        rule: what becomes of usage that Lago will not bill; by `send` nobody is asked.
        refuses_ids: whether Lago refuses an id that it has, at another time, too: its Postgres store does.
        some_held: whether some events are held.
        warnings: what can't be known, since the API key may not read it: sentences for the summary.
        are_mirrored: whether the mirror knows the subscriptions of all that is planned.
    """

    mirror: Mirror
    rule: ClosedPeriod
    refuses_ids: bool = False
    some_held: bool = True
    warnings: list[str] = field(default_factory=list)
    are_mirrored: bool = False
    _known: dict[str, tuple[list[Subscription], list[Billed] | None] | None] = field(default_factory=dict)
    _invoices: Invoices = field(init=False)

    def __post_init__(self) -> None:
        """Ask for no invoice yet."""
        self._invoices = Invoices(self.mirror.lago)

    def begin(self, connection: Connection) -> None:
        """Before Lago is asked for anything: let go what is held, where all is sent, or see what the mirror knows."""
        if self.rule == "send":
            execute(connection, "delivery/let_go", {"meter": self.mirror.meter.name})
        else:
            self.mirror.begin(connection)

    def settle(self, done: Delivered) -> list[int]:
        """Hold, move or let go the planned batches, and those held for a closed period.

        Args:
            done: where what was held is counted.

        Returns:
            The batches that are kept back for now, since Lago could not be asked about one of their subscriptions.

        Raises:
            UnknownEventsError: Lago holds an event that is to be moved.
            LagoError: Lago is away or refuses us.
            EndedError: the time is up; the next pass goes on from here.
        """
        if self.rule == "send":
            return []
        try:
            self.mirror.forget_ended()
        except NotPermittedError as error:
            self.warn(error, NOTICED_LATE)
        try:
            may_be_doubtful = self.mirror.learn()
            self.are_mirrored = True
            if self.some_held:
                self._sort("held", done)
            return self._sort("planned", done) if may_be_doubtful else []
        except NotPermittedError as error:
            self.warn(error, SENT_AS_WELL)
            return []

    def verdict(self, external_id: str, at: datetime) -> Verdict | None:
        """Whether Lago will bill an event of that moment, asked for now; None if it can't be asked of that name.

        Raises:
            NotPermittedError: the key may not read subscriptions.
        """
        known = self._asked(external_id)
        return None if known is None else judge(at, *known)

    def has_one(self, external_id: str) -> bool:
        """Whether Lago has, or had, a subscription of that external id, as far as it can be asked. Raises the same."""
        known = self._asked(external_id)
        return known is None or bool(known[0])

    def _asked(self, external_id: str) -> tuple[list[Subscription], list[Billed] | None] | None:
        if external_id not in self._known:
            self._known[external_id] = self._ask(external_id, None)
        return self._known[external_id]

    def _sort(self, state: Literal["planned", "held"], done: Delivered) -> list[int]:
        """Say what becomes of the doubtful events of batches in one state; return those that are kept back."""
        kept_back: list[int] = []
        asked_about: set[str] = set()
        for rows in self._doubtful(state):
            known = self.mirror.subscriptions({row.external_id for row in rows})
            for _, group in groupby(rows, key=lambda row: row.id):
                batch = list(group)
                for row in batch:
                    told = known.get(row.external_id)
                    asks = told is not None or state == "held"
                    if asks and row.external_id not in self._known and len(asked_about) < ASKED_ABOUT[state]:
                        asked_about.add(row.external_id)
                        self._known[row.external_id] = self._ask(row.external_id, told)
                kept_back += self._record(batch, done)
        return kept_back

    def _doubtful(self, state: str) -> Iterator[list[Doubtful]]:
        after = 0
        while True:
            values = {"meter": self.mirror.meter.name, "state": state, "after": after, "batches": _BATCHES}
            values |= {"final": self.rule == "move", "closed_for": CLOSED_FOR, **self.mirror.names}
            with self.mirror.ledger.transaction(planning=True) as connection:
                found = execute(connection, "delivery/doubtful_events", values, args_row(Doubtful))
                rows = found.fetchall()
            if not rows:
                return
            yield rows
            after = rows[-1].id

    def _ask(
        self, external_id: str, known: list[Subscription] | None
    ) -> tuple[list[Subscription], list[Billed] | None] | None:
        """All subscriptions of an external id and its billed periods, None if Lago can't be asked."""
        try:
            spans = self.mirror.ask(external_id) if known is None else known
            customer = spans[0].customer if spans else None
            spans = self.mirror.all_of(external_id, customer) if customer else spans
            return spans, self._billed(customer, external_id) if customer and spans else None
        except CantBeAskedError:
            return None

    def _billed(self, customer: str, external_id: str) -> list[Billed] | None:
        try:
            return self._invoices.billed(customer, external_id)
        except NotPermittedError as error:
            self.warn(error, SENT_AS_WELL)
            return None

    def _fate(self, row: Doubtful) -> Fate:
        known = self._known.get(row.external_id)
        if known is None:
            return Fate(_WAITS) if row.state == "planned" else Fate(_held(row.answer), may_change=True)
        verdict = judge(row.at, *known)
        if verdict.goes:
            return Fate(_GOES)
        follows = row.closed_at is not None and follows_close(row.at, row.closed_at, known[0])
        # An event that Lago may yet show under its timestamp keeps it: under another one it would count besides.
        # One that takes usage back does so where it was billed: elsewhere Lago may make 0 of what is below.
        moves = (self.rule == "move" or follows) and not row.is_open and not row.takes_back
        if moves and (present := first_sure_stamp(known[0])):
            return Fate(_GOES, present)
        return Fate(_held(verdict.words), may_change=follows or not verdict.final)

    def _record(self, rows: Sequence[Doubtful], done: Delivered) -> list[int]:
        """Let the events of a batch part ways; return the batch that is kept back, if any."""
        seen, answer = Seen(*rows[0][:4]), rows[0].answer
        judged = {place: fate for row in rows for fate in [self._fate(row)] for place in row.places}
        parts = together(
            dict.fromkeys(range(seen.events), _GOES) | {place: fate.part for place, fate in judged.items()}
        )
        moved = {place: fate.stamp for place, fate in judged.items() if fate.stamp}
        if moved and not self.refuses_ids:
            refuse_moved_before(self.mirror.meter, self.mirror.ledger, self.mirror.lago, seen.id, moved)
        as_it_is = not moved and len(parts) == 1 and (parts[0].state, parts[0].answer) == (seen.state, answer)
        with self.mirror.ledger.transaction() as connection:
            made = [seen.id] if as_it_is else split(connection, seen, parts, moved=moved)
            if not made:  # Another was quicker: what is left is judged by the next pass, and waits for it.
                return [seen.id]
            may_change = {place for place, fate in judged.items() if fate.may_change}
            if again := [id_ for id_, part in zip(made, parts, strict=True) if may_change.intersection(part.places)]:
                execute(connection, "delivery/ask_again", {"batches": again})
        if seen.state == "planned":
            done.held += sum(len(part.places) for part in parts if part.state == "held")
        return [id_ for id_, part in zip(made, parts, strict=True) if part.failure]

    def warn(self, error: NotPermittedError, means: str) -> None:
        """Note what can't be known since the key may not read it, and what that means."""
        sentence = error.unknown(means)
        if sentence not in self.warnings:
            self.warnings.append(sentence)


def _held(answer: str | None) -> Part:
    return Part((), "held", held_for=CLOSED_PERIOD, answer=answer, open=True)
