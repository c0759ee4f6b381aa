"""What a rebuild reads of Lago: a meter's events, code by code."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from reconciler.lago.client import Lago
from reconciler.lago.questions import Thing
from reconciler.lago.reading import in_slices
from reconciler.lago.sentences import NotPermittedError
from reconciler.lago.shown import amount, is_callbacks, is_of, timestamp_of
from reconciler.model.errors import MeterChangedError
from reconciler.settings.meter import MeterSettings
from reconciler.verify.rebuild import decision
from reconciler.verify.rebuild.elsewhere import ToBill
from reconciler.verify.rebuild.found import Found, Part
from reconciler.verify.rebuild.staged import Staged

_AHEAD = timedelta(days=400)
"""Events may lie in the future: sent by a clock that ran ahead, or moved there."""


@dataclass
class Reading:
    """What was read of one meter, kept for a second use.

    Attributes:
        wanted: the meter, as the settings describe it.
        found: what people are told.
        staged: its events.
        codes: those that were read.
        to_bill: some of the usage that a pass would bill.
    """

    wanted: MeterSettings
    found: Found
    staged: Staged = field(default_factory=Staged)
    codes: list[str] = field(default_factory=list)
    to_bill: list[ToBill] = field(default_factory=list)

    def read(self, lago: Lago, code: str, now: datetime) -> None:
        """Read the events of a code from `found.since` on.

        Raises:
            MeterChangedError: Lago does not show what was sent.
            LagoError: Lago is away or refuses us.
        """
        self.codes.append(code)
        self._see_metric(lago, code)
        begin = self.found.since
        for _, events in in_slices(lago, code, self.found.since, now + _AHEAD):
            for event in events:
                if is_of(event, self.wanted.name):
                    begin = min(begin, self._take(event))
                elif is_callbacks(event):
                    self._count_callbacks(event)
        self.found.since = begin

    def _see_metric(self, lago: Lago, code: str) -> None:
        """See that Lago shows what was sent: an expression of a metric overwrites a property."""
        try:
            metric = lago.metric(code) or {}
        except NotPermittedError:
            self.found.warnings.append(
                "The API key may not read Lago's billable metrics: if one computes a property by an expression, its "
                "events do not show what was sent."
            )
            return
        if metric.get("expression") and metric.get("field_name") in decision.MEASURES:
            raise MeterChangedError(
                f"Lago's metric {code!r} computes {metric['field_name']} by an expression, so its events do not show "
                "what was sent, and no ledger can be made from them. `reconcile --since` takes what Lago holds for "
                "accepted where it is what the spend table says."
            )

    def _take(self, event: Thing) -> datetime:
        """Take an event under the meter's name; return where its window begins: one may have been longer then."""
        found = self.found
        taken = decision.read(event, self.wanted.name, template=self.wanted.subscription)
        if taken is None:
            found.strange += 1
            found.example = found.example or str(event.get("transaction_id"))[:100]
        elif taken.window_start + timedelta(seconds=taken.window_seconds) <= found.since:
            found.earlier += 1
        else:
            self.staged.add(taken)
            return taken.window_start
        return found.since

    def _count_callbacks(self, event: Thing) -> None:
        if moment := timestamp_of(event):
            part = Part(1, amount(event), moment.astimezone(UTC))
            self.found.callback = self.found.callback.and_(part) if self.found.callback else part
