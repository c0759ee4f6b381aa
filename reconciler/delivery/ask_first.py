"""Ask before sending: what does Lago hold of a window before this ledger delivers for it the first time? Invariant 11.

What Lago shows equal to what is planned is accepted and never sent. What it shows otherwise means that the ledger was
lost or restored, or that there is a second one: to go on would bill twice.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby
from json import loads
from typing import Any, NamedTuple

from sqlalchemy import Connection, exists, select

from reconciler.database.postgres import execute
from reconciler.database.statements import statement
from reconciler.delivery.foreign import left_behind, not_ours
from reconciler.delivery.other_codes import recoded, under_another_code
from reconciler.lago.client import Lago
from reconciler.lago.readback import Readback
from reconciler.lago.reading import MILLISECOND, in_slices
from reconciler.lago.shown import is_of, key_of
from reconciler.ledger import tables
from reconciler.ledger.batches import Part, Seen
from reconciler.ledger.meters import Meter
from reconciler.ledger.outbox import split_off
from reconciler.ledger.store import Ledger

NEAR = timedelta(days=1)
"""Windows closer than this are asked about in one go."""


def refuse_moved_before(meter: Meter, ledger: Ledger, lago: Lago, batch: int, places: Collection[int]) -> None:
    """See that Lago holds none of the events that are to be moved out of their windows.

    An event that was moved before lies where its window does not show it. Lago's Postgres store refuses its id; any
    other would count it once more.

    Args:
        meter: whose events.
        ledger: where they are.
        lago: who is asked, one question an event.
        batch: their batch.
        places: where they are in there.

    Raises:
        UnknownEventsError: it holds one: the ledger was lost or restored since.
        LagoError: Lago is away or refuses us.
    """
    ids = [id_ for (id_,) in ledger.once("delivery/ids", {"batch": batch}, event_id=statement("ledger/event_id"))]
    for place in sorted(places):
        held = lago.event(ids[place])
        if held and is_of(held, meter.name):
            raise not_ours(meter, ledger, [held])


class Window(NamedTuple):
    """A window that Lago is to be asked about.

    Attributes:
        start: its start.
        asked_until: up to where Lago was asked about it, if in part.
        open_until: the instant up to which it was looked at while it was open; None if it was seen whole.
    """

    start: datetime
    asked_until: datetime | None = None
    open_until: datetime | None = None


class Planned(NamedTuple):
    """An event that the ledger plans: its batch, why that is held, and the event's place there."""

    batch: Seen
    held_for: str | None
    place: int
    payload: str


class AskFirst:
    """Asks one Lago about one meter's windows."""

    def __init__(self, meter: Meter, ledger: Ledger, lago: Lago) -> None:
        """Ask nothing yet."""
        self._meter = meter
        self._ledger = ledger
        self._lago = lago
        self._readback = Readback(lago)
        self._windows: list[Window] = []
        self._is_first = False
        self.accepted = 0
        """How many planned events Lago held already."""

    def begin(self, connection: Connection) -> None:
        """See which windows with events to send Lago was never asked about, to their ends."""
        values = {"meter": self._meter.name}
        rows = execute(connection, "delivery/unasked_windows", values).fetchall()
        if not rows:
            execute(connection, "delivery/asked", values)
            return
        self._windows = [Window(*(moment and moment.astimezone(UTC) for moment in row)) for row in rows]
        table = tables.window.c
        asked = table.asked_at.is_not(None) | table.asked_until.is_not(None)
        before = exists().where(table.meter == self._meter.name, asked)
        self._is_first = not connection.scalar(select(before))

    def run(self, *, horizon: timedelta) -> None:
        """Ask about these windows.

        Before the first of all, it asks whether Lago knows the meter under another code; if nobody chose the meter's
        start, also from before that start.
        What was asked is kept as it is asked, so that the next pass goes on where this one ends.

        Args:
            horizon: how long before its start.

        Raises:
            UnknownEventsError: Lago holds events of this meter that the ledger does not have, or plans otherwise.
            LagoError: Lago is away or refuses us.
            EndedError: the time is up.
        """
        if not self._windows:
            return
        if self._is_first:
            if not self._meter.start_chosen:
                self._ask_before_start(horizon)
            self._ask_whatever_the_code(horizon)
        for group in self._near(self._windows):
            self._ask(group)
        with self._ledger.transaction() as connection:
            execute(connection, "delivery/asked", {"meter": self._meter.name})

    def _ask(self, group: Sequence[Window]) -> None:
        first, last = group[0], group[-1]
        since = first.asked_until or first.start
        end = last.open_until or self._meter.timeline.window_end(last.start) - MILLISECOND
        code = self._meter.timeline.at(first.start).code
        for until, events in in_slices(self._lago, code, since, end):
            self._compare(events)
            self._note([each.start for each in group], until + MILLISECOND)

    def _compare(self, held: Sequence[dict[str, Any]]) -> None:
        """Accept what Lago holds as it is planned; stop at what it holds otherwise."""
        found = self._planned(held)
        unknown = [event for event, planned in found if planned is None]
        equal: dict[tuple[Seen, str | None], list[int]] = defaultdict(list)
        for event, planned in found:
            if planned is None:
                continue
            if self._readback.differ(loads(planned.payload), event):
                unknown.append(event)
            elif planned.batch.state in {"planned", "held"}:
                equal[planned.batch, planned.held_for].append(planned.place)
        if unknown:
            raise not_ours(self._meter, self._ledger, unknown)
        missed = False
        with self._ledger.transaction() as connection:
            for (batch, held_for), places in sorted(equal.items(), key=lambda each: each[0][0]):
                accepted = Part(places, "accepted", answer="Lago held it before it was sent")
                if split_off(connection, batch, [accepted], stays=Part((), batch.state, held_for=held_for)):
                    self.accepted += len(places)
                else:
                    missed = True
        if missed:  # Another was quicker: see where the events are now.
            self._compare(held)

    def _planned(self, held: Sequence[dict[str, Any]]) -> list[tuple[dict[str, Any], Planned | None]]:
        """Events under this meter's name that this ledger has not been to send, each with the one that it plans."""
        ours = [event for event in held if is_of(event, self._meter.name)]
        keys = [(event, key_of(event)) for event in ours]
        readable = [(event, key) for event, key in keys if key is not None]
        values = {
            "meter": self._meter.name,
            "window_starts": [key[0] for _, key in readable],
            "buckets": [key[1] for _, key in readable],
            "revisions": [key[2] for _, key in readable],
            "ids": [event["transaction_id"] for event, _ in readable],
            "subscriptions": [event.get("external_subscription_id") for event, _ in readable],
        }
        found: list[tuple[dict[str, Any], Planned | None]] = [(event, None) for event, key in keys if key is None]
        rows = self._ledger.once("delivery/known_events", values, known=statement("delivery/known"))
        for number, *batch, held_for, place, payload in rows:
            planned = None if payload is None else Planned(Seen(*batch), held_for, place, payload)
            found.append((readable[number - 1][0], planned))
        return found

    def _ask_before_start(self, horizon: timedelta) -> None:
        """Ask for the latest events before the start; one page of them tells a ledger that stayed behind."""
        start = self._meter.start
        pages = self._lago.events(self._meter.timeline.at(start).code, start - horizon, start - MILLISECOND)
        page = next(pages)
        if found := [event for event, planned in self._planned(page.things) if planned is None]:
            raise left_behind(self._meter, found)

    def _ask_whatever_the_code(self, horizon: timedelta) -> None:
        """Ask for the latest events of some customers, whatever their code: a changed one hides them from all else."""
        first, last = self._windows[0].start, self._windows[-1].start
        since = first if self._meter.start_chosen else min(first, self._meter.start - horizon)
        end = self._meter.timeline.window_end(last) - MILLISECOND
        held = list(under_another_code(self._lago, self._ledger, self._meter, since, end))
        if held and (found := [event for event, planned in self._planned(held) if planned is None]):
            raise recoded(self._meter, found)

    def _note(self, starts: Sequence[datetime], until: datetime) -> None:
        """Keep how far Lago was asked."""
        done = [start for start in starts if self._meter.timeline.window_end(start) <= until]
        begun = [start for start in starts if start < until < self._meter.timeline.window_end(start)]
        values = {"meter": self._meter.name, "done": done, "begun": begun, "until": until}
        with self._ledger.transaction() as connection:
            execute(connection, "delivery/note_asked", values)

    def _near(self, windows: Sequence[Window]) -> Iterator[list[Window]]:
        """Group windows that lie close together and have the same code.

        One that was asked about in part begins a group, one that is asked about in part ends it.
        """
        group: list[Window] = []
        for _, same in groupby(windows, key=lambda window: self._meter.timeline.at(window.start).code):
            for window in same:
                before = group[-1] if group else window
                if group and (window.start - before.start > NEAR or window.asked_until or before.open_until):
                    yield group
                    group = []
                group.append(window)
            yield group
            group = []
