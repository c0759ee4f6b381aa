"""Leg c: does Lago hold every accepted event as it was sent? Read back by pages, compared field by field.

What was found is kept with the batch, so that nothing is read twice and a run that was cut off goes on.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from math import inf
from typing import Any, NamedTuple

from psycopg.rows import class_row, namedtuple_row

from reconciler.database.postgres import server_clock
from reconciler.database.statements import statement
from reconciler.lago.client import Lago
from reconciler.lago.readback import Readback, differences
from reconciler.lago.shown import amount
from reconciler.ledger.meters import Meter
from reconciler.ledger.store import Ledger
from reconciler.model.money import total
from reconciler.model.words import count
from reconciler.verify.accepted import Batch, Event
from reconciler.verify.findings import Difference, Kind, Leg
from reconciler.verify.pages import Held, Pages
from reconciler.verify.repair import Repair
from reconciler.verify.slices import slices
from reconciler.verify.strangers import Strangers

MISSING = Kind(
    "missing in Lago",
    drift=True,
    means="Lago took these events and does not show them: deleted with their metric, lost on the way to ClickHouse, or "
    "not in a backup that was restored. `reconcile verify --repair` has the next pass send them again.",
    is_mended=True,
)
CHANGED = Kind(
    "another event in Lago",
    drift=True,
    means="Under these ids Lago holds something else than was sent. `reconcile verify --repair` makes them conflicts, "
    "about which you decide.",
    is_mended=True,
)
DOUBLED = Kind("twice in Lago", drift=True, means="Lago's ClickHouse store holds copies, and counts each of them.")

STEP = 100
"""Batches that are read back in one go."""

_ASKED_BY_ID = 50
"""So many missing events are looked for by their id, to tell whether they are elsewhere."""


class Bad(NamedTuple):
    """An event that Lago does not hold as it was sent: what is wrong, and for people its id and how it differs."""

    event: Event
    kind: Kind
    words: str


class LedgerAndLago:
    """Reads one meter's accepted events back."""

    def __init__(
        self,
        meter: Meter,
        ledger: Ledger,
        lago: Lago,
        leg: Leg,
        *,
        counts_once: bool,
        visible: timedelta,
        repair: Repair | None = None,
        asks_by_id: bool = False,
    ) -> None:
        """Ask nothing yet.

        Args:
            meter: whose events.
            ledger: where they are.
            lago: who is asked.
            leg: where it is noted what is found.
            counts_once: whether copies of an event count once.
            visible: how long after its answer an event can be read back.
            repair: mends what is found; None leaves it.
            asks_by_id: whether every event that is not in its place is looked for by its id: a store that does not
                refuse ids would take it once more.
        """
        self._meter = meter
        self._ledger = ledger
        self._lago = lago
        self._readback = Readback(lago)
        self._counts_once = counts_once
        self._visible = visible
        self._repair = repair
        self._left_to_ask = inf if asks_by_id else _ASKED_BY_ID
        self._leg = leg
        self._pages = Pages(meter.timeline, lago, Strangers(meter, ledger, leg, self._readback))

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
            now = server_clock(connection)
        values: dict[str, Any] = {"meter": self._meter.name, "since": since, "until": until, "again": again}
        values |= {"began": now, "visible": now - self._visible, "most": STEP}
        begin = datetime.min.replace(tzinfo=UTC)
        place: dict[str, Any] = {"settled": False, "first_window": begin, "last_window": begin, "id": 0}
        events = 0
        while rows := self._ledger.once("verify/unverified", values | place, namedtuple_row):
            batches = [
                Batch(row.id, row.attempts, row.events, row.answered_at, row.answer, row.verified_at is not None)
                for row in rows
            ]
            self._read(batches, values["visible"])
            events += sum(row.events for row in rows)
            self._leg.checked = count(events, "event")
            place = {name: getattr(rows[-1], name) for name in place}

    def _read(self, batches: Sequence[Batch], visible: datetime) -> None:
        """Read one step's batches back, mark those that are as they were sent, mend the others."""
        ids = [batch.id for batch in batches]
        event_id = statement("ledger/event_id")
        sent = self._ledger.once("verify/sent", {"batches": ids}, class_row(Event), event_id=event_id)
        wanted = Counter(each.window_start for each in sent)
        span = {"meter": self._meter.name, "since": min(wanted), "until": max(wanted)}
        crowds = dict(self._ledger.once("verify/crowds", span))
        bad: dict[int, list[Bad]] = defaultdict(list)
        for part in slices(wanted, crowds, self._meter.timeline):
            mine = [each for each in sent if part.first <= each.window_start <= part.last]
            held = self._pages.read(part, mine, crowds) if part.is_whole else {}
            # A page may have moved while others were read, and a moved event lies elsewhere: ask for these alone.
            doubted = [each for each in mine if self._judge(each, held.get(each.transaction_id, ()))]
            again = self._readback.held([each.event for each in doubted]) if doubted else {}
            held = {**held, **{each.transaction_id: again.get(each.transaction_id, ()) for each in doubted}}
            for found in self._note(mine, held):
                bad[found.event.batch].append(found)
        equal = [id_ for id_ in ids if id_ not in bad]
        unmarked = [batch.id for batch in batches if batch.is_verified and batch.id in bad]
        if equal or unmarked:
            values = {"ids": [*equal, *unmarked], "equal": equal, "visible": visible}
            self._ledger.once("verify/mark", values)
        if self._repair:
            self._mend(self._repair, batches, bad)

    @staticmethod
    def _mend(repair: Repair, batches: Sequence[Batch], bad: Mapping[int, Sequence[Bad]]) -> None:
        found = [(batch, [each.event for each in bad.get(batch.id, ()) if each.kind is MISSING]) for batch in batches]
        for batch, lacking in found:
            if len(lacking) < batch.events:
                repair.saw(batch)
        for batch, lacking in found:
            differing = [(each.event, each.words) for each in bad.get(batch.id, ()) if each.kind is CHANGED]
            if lacking or differing:
                repair.mend(batch, lacking, differing)

    def _note(self, sent: Iterable[Event], held: Held) -> list[Bad]:
        """Take the figures of events; return those that Lago does not hold as they were sent."""
        bad, shown = [], []
        for each in sent:
            copies = each.of(held.get(each.transaction_id, ()))
            kind = self._judge(each, copies)
            if kind is MISSING and (elsewhere := self._elsewhere(each)):
                kind, copies = CHANGED, [elsewhere]
            counting = copies[:1] if self._counts_once else copies
            found = total(amount(copy) for copy in counting) if kind else each.cost
            self._leg.days[each.day].add(each.cost, found)
            if kind is None:
                continue
            words = self._words(each, kind, copies)
            bad.append(Bad(each, kind, words))
            lacking = total([each.cost, -found])
            self._leg.count(kind, 1, lacking)
            shown.append(Difference(kind, each.day, each.subscription[:200], 1, lacking, words))
        self._leg.show(shown)
        return bad

    def _judge(self, sent: Event, copies: Sequence[Mapping[str, Any]]) -> Kind | None:
        """What is wrong with what Lago holds under an event's id and subscription."""
        copies = sent.of(copies)
        if not copies:
            return MISSING
        if any(self._readback.differ(sent.event, copy) for copy in copies):
            return CHANGED
        return DOUBLED if len(copies) > 1 and not self._counts_once else None

    def _elsewhere(self, sent: Event) -> Mapping[str, Any] | None:
        """The event that Lago holds under the id at another time; only so many are asked for."""
        if not self._left_to_ask:
            return None
        self._left_to_ask -= 1
        found = self._lago.event(sent.transaction_id)
        return found if found and sent.of([found]) else None

    def _words(self, sent: Event, kind: Kind, copies: Sequence[Mapping[str, Any]]) -> str:
        if kind is not CHANGED:
            return sent.transaction_id
        other = next(copy for copy in copies if self._readback.differ(sent.event, copy))
        return f"{sent.transaction_id}: " + ", ".join(
            f"{name} is {_field(other, name)}, was sent as {_field(sent.event, name)}"
            for name in differences(sent.event, other)
        )


def _field(event: Mapping[str, Any], name: str) -> str:
    """A field of an event, for people."""
    for part in name.split(".", 1):
        event = event.get(part) if isinstance(event, dict) else None  # type: ignore[assignment]
    return str(event)[:100]
