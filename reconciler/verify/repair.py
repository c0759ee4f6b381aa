"""Repair of leg c: what Lago does not hold goes back to the passes, what it holds differently becomes a conflict.

Nothing is sent here. Events that Lago lacks are planned again, as they are; on ClickHouse the attempt stays open. The
next pass's gate and senders do the rest as with any batch. So whatever happens in between, they are billed once.
"""

from collections.abc import Sequence
from datetime import datetime

from msgspec.structs import replace
from sqlalchemy import func, select

from reconciler.database.postgres import execute
from reconciler.lago.sentences import NotPermittedError
from reconciler.ledger import alarms, tables
from reconciler.ledger.batches import Part, Seen
from reconciler.ledger.meters import Meter
from reconciler.ledger.outbox import hold_later_revisions, split_off
from reconciler.ledger.passes import Patience
from reconciler.ledger.store import Ledger
from reconciler.model.money import total
from reconciler.settings.load import Settings
from reconciler.verify.accepted import Batch, Event
from reconciler.verify.mended import Mended
from reconciler.verify.spans import Span, Spans

LACKING = "reconcile verify --repair: Lago did not hold it"
DIFFERING = "reconcile verify --repair: Lago held it otherwise"
"""Why, as the ledger keeps it."""


class Repair:
    """Repairs one meter's accepted batches; in a dry run it only counts."""

    def __init__(
        self, meter: Meter, ledger: Ledger, spans: Spans, *, decided_by: str, is_open: bool, asks_again: bool
    ) -> None:
        """Do nothing yet.

        Args:
            meter: whose batches.
            ledger: where they are; a dry one is left alone.
            spans: tells whose present period has begun since.
            decided_by: who runs the command; kept.
            is_open: whether Lago may yet show what it lacks now, as ClickHouse may.
            asks_again: whether senders ask Lago once more before they send what is open.
        """
        self._meter = meter
        self._ledger = ledger
        self._spans = spans
        self._decided_by = decided_by
        self._is_open = is_open
        self._known: dict[str, Span] = {}
        self._shown_until = self._verified_until() if asks_again else None
        self.mended = Mended(is_dry=ledger.is_dry, asks_again=asks_again)
        """What was done."""

    def saw(self, batch: Batch) -> None:
        """Take note that Lago shows events of a batch."""
        self._shown_until = max(self._shown_until or batch.answered_at, batch.answered_at)

    def mend(self, batch: Batch, lacking: Sequence[Event], differing: Sequence[tuple[Event, str]]) -> None:
        """Let the events of a batch go their ways, in one transaction; the others stay accepted.

        Where a copy would count twice, a batch that is missing as a whole waits until Lago shows what it took later:
        else its pipeline may stand still, and bring it all when it runs.

        Args:
            batch: which.
            lacking: those that Lago does not hold.
            differing: those that it holds otherwise, each with what differs.

        Raises:
            LagoError: Lago can't be asked about their subscriptions. Then nothing is done.
        """
        is_whole = len(lacking) == batch.events
        if self.mended.asks_again and is_whole and not (self._shown_until and batch.answered_at < self._shown_until):
            self.mended.waiting.add(len(lacking), total(each.cost for each in lacking))
            return
        late = [each for each in lacking if self._is_late(each)]
        if not self._ledger.is_dry and not self._record(batch, lacking, differing):
            self.mended.passed_over += len(lacking) + len(differing)
            return
        self.mended.again.add(len(lacking), total(each.cost for each in lacking))
        self.mended.late.add(len(late), total(each.cost for each in late))
        self.mended.conflicts.add(len(differing), total(each.cost for each, _ in differing))
        for _, words in differing:
            self.mended.show(words)

    def review(self, settings: Settings) -> None:
        """Ring the alarms that follow from what was done."""
        if self.mended.conflicts.events and not self._ledger.is_dry:
            with self._ledger.transaction() as connection:
                alarms.review_now(connection, self._meter.name, settings.horizon, Patience.of(settings))

    def _record(self, batch: Batch, lacking: Sequence[Event], differing: Sequence[tuple[Event, str]]) -> bool:
        """Say whether the batch was still as it was asked for."""
        parts = []
        if lacking:
            places = sorted(each.place for each in lacking)
            parts.append(Part(places, "planned", decided_by=self._decided_by, reason=LACKING))
        parts += [
            replace(Part.in_conflict(words), places=[each.place], decided_by=self._decided_by, reason=DIFFERING)
            for each, words in differing
        ]
        stays = Part((), "accepted", answer=batch.answer)
        with self._ledger.transaction() as connection:
            made = split_off(connection, Seen(batch.id, batch.attempts, stays.state, batch.events), parts, stays=stays)
            if made:
                execute(connection, "verify/repaired", {"batches": made, "is_open": self._is_open})
            if conflicting := made[bool(lacking) :]:
                hold_later_revisions(connection, conflicting)
        return bool(made)

    def _verified_until(self) -> datetime | None:
        """When Lago took the last of what it was seen to hold by earlier verifications."""
        table = tables.batch.c
        verified = table.meter == self._meter.name, table.state == "accepted", table.verified_at.is_not(None)
        with self._ledger.transaction() as connection:
            last: datetime | None = connection.scalar(select(func.max(table.answered_at)).where(*verified))
        return last

    def _is_late(self, event: Event) -> bool:
        """Whether an event lies before the present period of its subscription, as far as Lago tells."""
        name = event.subscription
        if name not in self._known:
            try:
                self._known[name] = self._spans.asked(name)
            except NotPermittedError:
                self._known[name] = Span("unknown")
        span = self._known[name]
        return span.status == "terminated" or (span.since is not None and event.moment < span.since)
