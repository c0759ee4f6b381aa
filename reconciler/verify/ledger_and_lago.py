"""Leg c: does Lago hold every accepted event as it was sent? Read back by pages, compared field by field.

What was found is kept with the batch, so that nothing is read twice and a run that was cut off goes on.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from json import loads
from typing import Any

from psycopg.rows import class_row, namedtuple_row
from sqlalchemy import func, select

from reconciler.lago.client import Lago
from reconciler.lago.readback import Readback, amount, differences
from reconciler.ledger.meters import Meter
from reconciler.ledger.store import Ledger
from reconciler.model.money import total
from reconciler.model.words import count
from reconciler.verify.findings import Difference, Kind, Leg
from reconciler.verify.slices import Slice, slices
from reconciler.verify.strangers import Strangers

MISSING = Kind(
    "missing in Lago",
    drift=True,
    means="Lago took these events and does not show them: deleted with their metric, lost on the way to ClickHouse, or "
    "not in a backup that was restored.",
)
CHANGED = Kind("another event in Lago", drift=True, means="Under these ids Lago holds something else than was sent.")
DOUBLED = Kind("twice in Lago", drift=True, means="Lago's ClickHouse store holds copies, and counts each of them.")

STEP = 100
"""Batches that are read back in one go."""

_ASKED_BY_ID = 50
"""So many missing events are looked for by their id, to tell whether they are elsewhere."""

_MILLISECOND = timedelta(milliseconds=1)

Held = Mapping[str, Sequence[Mapping[str, Any]]]
"""What Lago holds, by id."""


@dataclass(frozen=True)
class Sent:
    """An accepted event."""

    batch: int
    transaction_id: str
    window_start: datetime
    subscription: str
    cost: Decimal
    payload: str

    @cached_property
    def event(self) -> dict[str, Any]:
        """The event as values."""
        event: dict[str, Any] = loads(self.payload)
        return event


class LedgerAndLago:
    """Reads one meter's accepted events back."""

    def __init__(
        self, meter: Meter, ledger: Ledger, lago: Lago, leg: Leg, *, counts_once: bool, visible: timedelta
    ) -> None:
        """Ask nothing yet.

        Args:
            meter: whose events.
            ledger: where they are.
            lago: who is asked.
            leg: where it is noted what is found.
            counts_once: whether copies of an event count once.
            visible: how long after its answer an event can be read back.
        """
        self._meter = meter
        self._ledger = ledger
        self._lago = lago
        self._readback = Readback(lago)
        self._counts_once = counts_once
        self._visible = visible
        self._asked_by_id = 0
        self._leg = leg
        self._strangers = Strangers(meter, ledger, leg)

    def run(self, since: datetime, until: datetime, *, again: bool) -> None:
        """Read back the batches with windows in `[since, until)`.

        Args:
            since: the begin.
            until: the end, exclusive.
            again: whether those that were verified before are read again.

        Raises:
            LagoError: Lago is away or refuses us; what was read so far is kept.
        """
        with self._ledger.transaction() as connection:
            now = connection.scalar(select(func.clock_timestamp()))
        assert now is not None
        values = {"meter": self._meter.name, "since": since, "until": until, "again": again, "began": now}
        values |= {"visible": now - self._visible, "most": STEP}
        place: dict[str, Any] = {"settled": False, "first_window": datetime.min.replace(tzinfo=UTC), "id": 0}
        events = 0
        while rows := self._ledger.once("verify/unverified", values | place, namedtuple_row):
            self._read([row.id for row in rows], {row.id for row in rows if row.verified_at is not None})
            events += sum(row.events for row in rows)
            self._leg.checked = count(events, "event")
            place = {name: getattr(rows[-1], name) for name in place}

    def _read(self, batches: Sequence[int], verified: set[int]) -> None:
        """Read one step's batches back, and mark those that are as they were sent."""
        sent = self._ledger.once("verify/sent", {"batches": batches}, class_row(Sent))
        wanted = Counter(each.window_start for each in sent)
        span = {"meter": self._meter.name, "since": min(wanted), "until": max(wanted)}
        crowds = dict(self._ledger.once("verify/crowds", span))
        bad: set[int] = set()
        for part in slices(wanted, crowds, self._meter.timeline):
            mine = [each for each in sent if part.first <= each.window_start <= part.last]
            held: Held = self._whole(part, mine) if part.is_whole else {}
            # A page may have moved while others were read, and a moved event lies elsewhere: ask for these alone.
            doubted = [each for each in mine if self._judge(each, held.get(each.transaction_id, ()))]
            again = self._readback.held([each.event for each in doubted], _go_on) if doubted else {}
            bad |= self._note(
                mine, {**held, **{each.transaction_id: again.get(each.transaction_id, ()) for each in doubted}}
            )
        equal = [id_ for id_ in batches if id_ not in bad]
        if equal or verified & bad:
            self._ledger.once("verify/mark", {"ids": [*equal, *(verified & bad)], "equal": equal})

    def _whole(self, part: Slice, mine: Iterable[Sent]) -> Held:
        """What Lago holds of these, by pages of all that it has there; the rest are strangers."""
        ours = {each.transaction_id: each.event.get("external_subscription_id") for each in mine}
        held: dict[str, list[dict[str, Any]]] = defaultdict(list)
        end = self._meter.timeline.window_end(part.last) - _MILLISECOND
        for page in self._lago.events(part.code, part.first, end):
            strangers = []
            for event in page.things:
                id_ = event.get("transaction_id")
                if isinstance(id_, str) and id_ in ours and event.get("external_subscription_id") == ours[id_]:
                    held[id_].append(event)
                else:
                    strangers.append(event)
            self._strangers.take(strangers)
        return held

    def _note(self, sent: Iterable[Sent], held: Held) -> set[int]:
        """Take the figures of events; return the batches of those that Lago does not hold as they were sent."""
        bad: set[int] = set()
        shown = []
        for each in sent:
            copies = _ours(each, held.get(each.transaction_id, ()))
            kind = self._judge(each, copies)
            if kind is MISSING and (elsewhere := self._elsewhere(each)):
                kind, copies = CHANGED, [elsewhere]
            counting = copies[:1] if self._counts_once else copies
            found = total(amount(copy) for copy in counting) if kind else each.cost
            day = each.window_start.astimezone(UTC).date()
            self._leg.days[day].add(each.cost, found)
            if kind is None:
                continue
            bad.add(each.batch)
            lacking = total([each.cost, -found])
            self._leg.count(kind, 1, lacking)
            shown.append(Difference(kind, day, each.subscription, 1, lacking, self._example(each, kind, copies)))
        self._leg.show(shown)
        return bad

    def _judge(self, sent: Sent, copies: Sequence[Mapping[str, Any]]) -> Kind | None:
        """What is wrong with what Lago holds under an event's id and subscription."""
        copies = _ours(sent, copies)
        if not copies:
            return MISSING
        if any(self._readback.differ(sent.event, copy) for copy in copies):
            return CHANGED
        return DOUBLED if len(copies) > 1 and not self._counts_once else None

    def _elsewhere(self, sent: Sent) -> Mapping[str, Any] | None:
        """The event that Lago holds under the id at another time; a few are asked for."""
        if self._asked_by_id == _ASKED_BY_ID:
            return None
        self._asked_by_id += 1
        found = self._lago.event(sent.transaction_id)
        return found if found and _ours(sent, [found]) else None

    def _example(self, sent: Sent, kind: Kind, copies: Sequence[Mapping[str, Any]]) -> str:
        if kind is not CHANGED:
            return sent.transaction_id
        other = next(copy for copy in copies if self._readback.differ(sent.event, copy))
        return f"{sent.transaction_id}: " + ", ".join(
            f"{name} is {_field(other, name)}, was sent as {_field(sent.event, name)}"
            for name in differences(sent.event, other)
        )


def _ours(sent: Sent, copies: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """Those under the event's own subscription."""
    subscription = sent.event.get("external_subscription_id")
    return [copy for copy in copies if copy.get("external_subscription_id") == subscription]


def _field(event: Mapping[str, Any], name: str) -> str:
    """A field of an event, for people."""
    for part in name.split(".", 1):
        event = event.get(part) if isinstance(event, dict) else None  # type: ignore[assignment]
    return str(event)[:100]


def _go_on() -> None:
    """There is time for every question."""
