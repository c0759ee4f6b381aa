"""Asks Lago for the doctor: nothing is stored there, each question has seconds, and all of them have a minute."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypeVar

from reconciler.capture.source import Sight, Source
from reconciler.lago.answers import Barred
from reconciler.lago.client import Lago
from reconciler.lago.ending import Ending
from reconciler.lago.sentences import NotPermittedError
from reconciler.ledger.store import Ledger
from reconciler.model.errors import EndedError, LagoAwayError, LagoError, ReconcileError
from reconciler.model.windows import keep_to_midnights
from reconciler.report.unbillable import Outlook
from reconciler.settings.load import Settings
from reconciler.settings.meter import MeterSettings
from reconciler.verify.billable import outlook
from reconciler.verify.doctor.asking.arrived import Arrivals
from reconciler.verify.doctor.check import Untold, told
from reconciler.verify.doctor.lago import Arrived, LagoFacts

T = TypeVar("T")

SECONDS = 60.0
"""So long all questions together may take."""

_NOBODY = "reconcile doctor"
"""A name to ask about by which nobody has anything: what counts is whether we may ask."""

_DAY = timedelta(days=1)
_TOOK_LONG = f"Lago took longer than {SECONDS:.0f} s for all questions together: see how busy it is."


class AskLago:
    """Gathers the facts of one Lago."""

    def __init__(self, settings: Settings, ledger: Ledger, source: Source) -> None:
        """Ask nothing yet.

        Raises:
            SettingsError: the file of the API key can't be read.
        """
        self._settings = settings
        self._ledger = ledger
        self._source = source
        self._ending = Ending()
        self._lago = Lago.of(settings, self._ending, stays="The doctor changes nothing")

    def close(self) -> None:
        """Close the connections."""
        self._lago.close()

    def facts(self, sight: Sight | None, here: datetime, *, knows_meters: bool | None) -> LagoFacts:
        """All that can be told; what fails is told as such.

        Args:
            sight: the source, None if it can't be read: then nobody knows whose usage there is.
            here: this machine's clock when the source was seen.
            knows_meters: whether the ledger can be asked about its meters; None if nobody knows whether it has some.
        """
        self._ending.begin(SECONDS)
        facts = LagoFacts(self._settings.lago_api_base)
        try:
            organization = self._lago.organization(careful=True)
        except LagoAwayError as error:
            return replace(facts, away=str(error))
        except ReconcileError as error:
            return replace(facts, refused=str(error))
        may = {"read organization": organization is not None, "write event": self._may_write()}
        may |= {name: found for name, ask in self._readings().items() if (found := _may(ask)) is not None}
        readable = self._settings.meters if may.get("read event", True) else []
        return replace(
            facts,
            organization=organization,
            may=may,
            store=_asked(lambda: self._lago.store(organization)),
            ahead=self._ahead(sight, here),
            metrics=self._metrics(),
            arrived={meter.name: self._arrived(meter, knows_meters=knows_meters) for meter in readable},
            outlook=None if sight is None else self._outlook(sight),  # may take longest: the last one
        )

    def _may_write(self) -> bool:
        """Whether the key may write events. A batch of none stores nothing: it is refused as such, if not before."""
        answer = self._lago.post((), '{"events": []}')
        return not (isinstance(answer, Barred) and answer.resource == "event")

    def _readings(self) -> Mapping[str, Callable[[], object]]:
        """The least question that needs each permission to read."""
        code, now = self._settings.meters[0].event_code, datetime.now(UTC)
        window_fits = all(keep_to_midnights(meter.window) for meter in self._settings.meters)
        return {
            "read event": lambda: next(self._lago.events(code, now, now, size=1), None),
            "read billable_metric": lambda: self._lago.metric(code),
            "read subscription": lambda: self._lago.subscription(_NOBODY),
            "read invoice": lambda: self._lago.newest_invoices(1),
            "read plan": lambda: self._lago.plan(_NOBODY),
            "read customer": lambda: window_fits or self._lago.customer(_NOBODY),  # asked for only if it matters
            "read customer_usage": lambda: self._lago.past_usage(_NOBODY, _NOBODY),
        }

    def _ahead(self, sight: Sight | None, here: datetime) -> timedelta | None:
        """By how much Lago's clock is ahead of the source's: both are compared with this machine's."""
        there, now = _asked(self._lago.clock), datetime.now(UTC)
        if sight is None or there is None or isinstance(there, Untold):
            return None
        return (there - now) - (sight.now - here)

    def _metrics(self) -> dict[str, Mapping[str, Any] | Untold | None]:
        """Each meter's metric; that of a code once."""
        codes = {meter.event_code for meter in self._settings.meters}
        found = {code: _asked(partial(self._lago.metric, code)) for code in codes}
        return {meter.name: found[meter.event_code] for meter in self._settings.meters}

    def _outlook(self, sight: Sight) -> Outlook | Untold:
        since = sight.now - _DAY
        look = self._settings.meters, self._source, sight, self._ledger, self._lago
        return _asked(lambda: outlook(*look, since=since))

    def _arrived(self, wanted: MeterSettings, *, knows_meters: bool | None) -> Arrived | Untold:
        arrivals = Arrivals(self._lago, self._ledger, wanted)
        return _asked(lambda: arrivals.see(knows_meters=knows_meters))


def _asked(ask: Callable[[], T]) -> T | Untold:
    """What `told` returns; that the time is up is told, too."""
    try:
        return told(ask)
    except EndedError:
        return Untold(_TOOK_LONG)


def _may(ask: Callable[[], object]) -> bool | None:
    """Whether the key may ask that; None if that can't be told."""
    try:
        ask()
    except NotPermittedError:
        return False
    except (LagoError, EndedError):
        return None
    return True
