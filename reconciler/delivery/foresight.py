"""For a dry run: ask Lago all that a real one would ask before it sends. Nothing is sent, and nothing is kept."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from reconciler.database.postgres import execute
from reconciler.delivery.gate import Gate, Lagos
from reconciler.delivery.mirror import Mirror
from reconciler.delivery.periods import NOTICED_LATE, SENT_AS_WELL, Periods
from reconciler.delivery.spans import Subscription
from reconciler.lago.client import Lago
from reconciler.lago.sentences import NotPermittedError
from reconciler.ledger.backlog import backlog
from reconciler.ledger.meters import Meter
from reconciler.ledger.store import Ledger
from reconciler.report.foreseen import Foreseen, Usage, takes
from reconciler.settings.load import Settings
from reconciler.settings.meter import MeterSettings

_NEVER = datetime.max.replace(tzinfo=UTC)


Before = Callable[[Mapping[str, datetime]], Mapping[str, Usage]]
"""Reads the usage of some subscriptions whose events are older than a moment each."""


class Foresight:
    """Foresees for all meters of one dry run."""

    def __init__(self, settings: Settings, ledger: Ledger) -> None:
        """Connect to nothing yet; the ledger is a dry one."""
        self._settings = settings
        self._ledger = ledger
        self._lago = Lago.of(settings)
        self._lagos = Lagos(self._lago, ledger)

    def close(self) -> None:
        """Close the connections."""
        self._lago.close()

    def foresee(
        self,
        wanted: MeterSettings,
        meter: Meter,
        usage: Mapping[str, Usage],
        before: Before,
        now: datetime,
        *,
        adopt: bool,
    ) -> Foreseen:
        """See whether a real run would be let in, and what would become of what it would plan.

        Args:
            wanted: the meter's settings.
            meter: its state.
            usage: what would be planned, by subscription.
            before: reads the part of it that is older than given moments.
            now: the source's clock.
            adopt: whether changes are declared.

        Raises:
            MeterChangedError: the organization is another one, or another meter bills the same to it.
            LagoError: Lago is away or refuses us, has no metric of the code, or the key may not read events.
        """
        self._lagos.ask()
        organization = self._lagos.organization
        mirror = Mirror(meter, self._ledger, self._lago, organization, now)
        periods = Periods(mirror, wanted.closed_period)
        gate = Gate(meter, self._ledger, self._lago)
        gate.hold_to(organization, adopt=adopt)
        gate.see_metric()
        next(self._lago.events(meter.timeline.latest.code, meter.watermark, meter.watermark), None)  # may the key?

        found = self._sent(meter, sum(each.events for each in usage.values()))
        if wanted.closed_period != "send" and usage:
            found = self._judged(found, usage, before, periods)
        return replace(found, warnings=periods.warnings)

    def _sent(self, meter: Meter, events: int) -> Foreseen:
        """How many events would be sent, those on their way already too, and about how long that takes."""
        with self._ledger.transaction() as connection:
            events += backlog(connection, meter.name).planned
            row = execute(connection, "report/pace", {"lago": self._lago.base}).fetchone()
        settings = self._settings
        length = takes(
            events,
            settings.limits.batch,
            seconds_a_batch=row[0] if row else None,
            connections=settings.connections,
            rate=settings.rate,
        )
        return Foreseen(events, length)

    def _judged(self, found: Foreseen, usage: Mapping[str, Usage], before: Before, periods: Periods) -> Foreseen:
        """Whose usage Lago has no subscription for, and whose lies before its present period."""
        try:
            self._lago.newest_invoices(1)
        except NotPermittedError as error:
            periods.warn(error, NOTICED_LATE)
        try:
            spans = periods.mirror.told(usage)
        except NotPermittedError as error:
            periods.warn(error, SENT_AS_WELL)
            return replace(found, unknown=len(usage))
        since = {name: _present_since(some) for name, some in spans.items() if some}
        late = {name: at for name, at in since.items() if (first := usage[name].first_window) and first < at}
        return replace(
            found,
            unsubscribed={name: usage[name] for name, some in spans.items() if not some},
            closed=before(late),
            unknown=len(usage) - len(spans),
        )


def _present_since(some: Sequence[Subscription]) -> datetime:
    """From when on usage lies in the present period; never, if none is active."""
    return max((one.present_since for one in some if one.ended_at is None), default=_NEVER)
