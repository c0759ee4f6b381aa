"""Asks Lago for the doctor: nothing is stored there, each question has seconds, and all of them have a minute."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from itertools import islice
from typing import Any, TypeVar

from reconciler.capture.source import Sight, Source
from reconciler.lago.answers import Barred
from reconciler.lago.client import Lago
from reconciler.lago.ending import Ending
from reconciler.lago.questions import Thing
from reconciler.lago.sentences import NotPermittedError
from reconciler.lago.shown import timestamp_of
from reconciler.ledger import meters
from reconciler.ledger.meters import Meter
from reconciler.ledger.store import Ledger
from reconciler.model.errors import EndedError, LagoAwayError, LagoError, ReconcileError
from reconciler.model.windows import keep_to_midnights
from reconciler.report.unbillable import Outlook
from reconciler.settings.load import Settings
from reconciler.settings.meter import MeterSettings
from reconciler.verify.billable import outlook
from reconciler.verify.doctor.check import Untold, told
from reconciler.verify.doctor.lago import Arrived, Foreign, LagoFacts
from reconciler.verify.findings import Leg
from reconciler.verify.strangers import APART, TWICE, Strangers, producer

T = TypeVar("T")

LATELY = timedelta(hours=3)
"""So far back events are looked through."""

PAGES = 5
"""So many pages of them at most, the newest first."""

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
        arrived: dict[str, Arrived | Untold] = {}
        if may.get("read event", True):
            arrived = {meter.name: self._arrived(meter, knows_meters=knows_meters) for meter in self._settings.meters}
        return replace(
            facts,
            organization=organization,
            may=may,
            store=_asked(lambda: self._lago.store(organization)),
            ahead=self._ahead(sight, here),
            metrics=self._metrics(),
            arrived=arrived,
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
        now = datetime.now(UTC)
        pages = self._lago.events(wanted.event_code, now - LATELY, now + LATELY)

        def look() -> Arrived:
            meter = self._meter(wanted.name) if knows_meters else None
            events, is_last = [], False
            for page in islice(pages, PAGES):
                events += page.things
                is_last = page.is_last
            foreign = list(self._foreign(wanted.name, meter, events))
            return Arrived(foreign, is_whole=is_last, is_compared=knows_meters is not None)

        return _asked(look)

    def _meter(self, name: str) -> Meter | None:
        with self._ledger.transaction() as connection:
            return meters.load(connection, name)

    def _foreign(self, name: str, meter: Meter | None, events: list[Thing]) -> Iterator[Foreign]:
        """Who has sent what of these, beside this ledger; without a meter all of it is foreign."""
        newest: dict[str, datetime] = {}
        for event in events:
            if moment := timestamp_of(event):
                who = producer(event, name)
                newest[who] = max(moment, newest.get(who, moment))
        leg = Leg("", "", "")
        if meter is not None:
            Strangers(meter, self._ledger, leg).take(events)
        else:
            for event in events:
                leg.count(APART[producer(event, name)], 1, Decimal())
        for some, is_twice in ((TWICE, True), (APART, False)):
            for who, kind in some.items():
                if (number := leg.sums.get(kind, (0,))[0]) and who in newest:
                    yield Foreign(who, is_twice, number, newest[who])


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
