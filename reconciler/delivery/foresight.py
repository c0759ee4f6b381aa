"""For a dry run: ask Lago all that a real one would ask before it sends. Nothing is sent, and nothing is kept."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime

from reconciler.delivery.billable.outlook import Outlooks
from reconciler.delivery.gate import Gate, Lagos, hold_to
from reconciler.delivery.not_cut_over import NotCutOverError, see_not_cut_over
from reconciler.delivery.periods import NOTICED_LATE
from reconciler.delivery.waiting import Waiting
from reconciler.lago.client import Lago
from reconciler.lago.sentences import NotPermittedError
from reconciler.ledger.backlog import backlog
from reconciler.ledger.meters import Meter
from reconciler.ledger.store import Ledger
from reconciler.model.errors import LagoError, SettingsError
from reconciler.report.foreseen import Foreseen, takes
from reconciler.report.unbillable import Unknown
from reconciler.report.usage import Reader, Slice, Usage, Used, joined
from reconciler.settings.load import Settings
from reconciler.settings.meter import MeterSettings


class Foresight:
    """Foresees for all meters of one dry run."""

    def __init__(self, settings: Settings, ledger: Ledger) -> None:
        """Connect to nothing yet; the ledger is a dry one."""
        self._settings = settings
        self._ledger = ledger
        self._lago = Lago.of(settings)
        self._lagos = Lagos(self._lago, ledger)
        self._outlooks: Outlooks | None = None

    def close(self) -> None:
        """Close the connections."""
        self._lago.close()

    def see_not_cut_over(self, wanted: MeterSettings, since: datetime, until: datetime) -> NotCutOverError | None:
        """Why a real backfill would be refused: LiteLLM's callback has billed its windows; None if not."""
        with suppress(LagoError, SettingsError):  # what is foreseen meets it, too, and says it
            return see_not_cut_over(self._lago, self._ledger, wanted, since, until)
        return None

    def foresee(
        self, wanted: MeterSettings, meter: Meter, used: Used, read: Reader, now: datetime, *, adopt: bool
    ) -> Foreseen:
        """See whether a real run would be let in, and what would become of what it would plan.

        Args:
            wanted: the meter's settings.
            meter: its state.
            used: what would be planned.
            read: reads how much of it lies in slices.
            now: the source's clock.
            adopt: whether changes are declared.

        Raises:
            MeterChangedError: the organization is another one, or another meter bills the same to it.
            LagoError: Lago is away or refuses us, has no metric of the code, or the key may not read events.
        """
        self._lagos.ask()
        held = hold_to(meter, self._ledger, self._lagos.organization, adopt=adopt)
        Gate(held, self._ledger, self._lago).see_metric(wanted)
        next(self._lago.events(meter.timeline.latest.code, meter.watermark, meter.watermark), None)  # may the key?

        found = self._sent(meter, sum(usage.events for models in used.values() for usage in models.values()))
        try:
            self._lago.newest_invoices(1)
        except NotPermittedError as error:
            found.outlook.untold.append(Unknown("subscriptions", error.unknown(NOTICED_LATE)))
        if self._outlooks is None:
            self._outlooks = Outlooks(self._lago, self._lagos.zone, now, self._ledger.stay)
        waiting = Waiting(meter.name, self._ledger)

        def read_both(slices: Sequence[Slice]) -> list[Usage]:
            both = zip(read(slices), waiting.within(slices), strict=True)
            return [new.and_(old) for new, old in both]

        all_of_it = joined(used, waiting.used())
        found.outlook.add(self._outlooks.of(wanted, all_of_it, read_both, was_sent=False))
        return found

    def _sent(self, meter: Meter, events: int) -> Foreseen:
        """How many events would be sent, those on their way already too, and about how long that takes."""
        events += backlog(self._ledger, meter.name).planned
        rows = self._ledger.once("report/pace", {"lago": self._lago.base})
        settings = self._settings
        length = takes(
            events,
            settings.limits.batch,
            seconds_a_batch=rows[0][0] if rows else None,
            connections=settings.connections,
            rate=settings.rate,
        )
        return Foreseen(events, length)
