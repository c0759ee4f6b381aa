"""Whose plan is to change, in each meter: the meter as it is, and the subscription that the usage goes to."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta

from sqlalchemy import exists, select

from reconciler.capture.source import Sight, Source
from reconciler.capture.subscriptions import Subscriptions
from reconciler.database.postgres import execute
from reconciler.lago.client import Lago
from reconciler.lago.sentences import CantBeAskedError, NotPermittedError
from reconciler.ledger import changes, meters, tables
from reconciler.ledger.meters import Meter
from reconciler.ledger.store import Ledger
from reconciler.model.errors import LagoAwayError, LedgerError, MeterChangedError, ReconcileError, UsageError
from reconciler.model.guesses import alike
from reconciler.model.identity import name_hash
from reconciler.model.visible import brief
from reconciler.report.closing import Closed
from reconciler.settings.meter import MeterSettings


@dataclass
class Subject:
    """One meter's part.

    Attributes:
        wanted: the meter, as the settings describe it.
        closed: what closing has come to.
    """

    wanted: MeterSettings
    closed: Closed

    @property
    def goes_on(self) -> bool:
        """Whether there may be something to do, and nothing has gone wrong."""
        return self.closed.subscription is not None and self.closed.nothing is None and self.closed.error is None


class Subjects:
    """Finds them. It asks Lago for each subscription once."""

    def __init__(self, source: Source, sight: Sight, ledger: Ledger, lago: Lago, *, horizon: timedelta) -> None:
        """Ask nothing yet; a customer who has used something within the horizon is known."""
        self._source = source
        self.sight = sight
        """What the source looks like now."""
        self._ledger = ledger
        self._lago = lago
        self._since = sight.now - horizon
        self._asked: dict[str, bool] = {}

    def of(self, wanted: Sequence[MeterSettings], customer: str, *, is_dry: bool = False) -> list[Subject]:
        """One of each meter; what is wrong with one meter is kept in it.

        Raises:
            UsageError: nothing is known of the customer.
        """
        found = [Subject(each, Closed(each.name, is_dry=is_dry)) for each in wanted]
        for subject in found:
            try:
                self._find(subject, customer)
            except ReconcileError as error:
                subject.closed.error = error
        if all(subject.closed.nothing for subject in found):
            raise UsageError(self._unknown(found, customer))
        return found

    def meter(self, wanted: MeterSettings) -> Meter:
        """The meter as the ledger has it now, held to what the settings say.

        Raises:
            ReconcileError: there is none yet, it is another, or a clock ran ahead.
        """
        with self._ledger.transaction() as connection:
            meter = meters.load(connection, wanted.name)
        if meter is None:
            raise LedgerError(f"The ledger has no meter {wanted.name!r} yet: run `reconcile` first.")
        place = asdict(self.sight.place)
        if differing := changes.changes(meter, wanted.terms, source=place, lago=self._lago.base):
            raise MeterChangedError(changes.refusal(meter.name, differing))
        if meter.is_ahead_of(self.sight.now):
            raise ReconcileError(
                f"Meter {meter.name!r} starts, or has come to, where the source's clock has not: run `reconcile` once, "
                "which pulls that back and says so."
            )
        return meter

    def _find(self, subject: Subject, customer: str) -> None:
        wanted, closed = subject.wanted, subject.closed
        self.meter(wanted)
        self._source.check(self.sight, wanted.terms)
        with self._ledger.transaction() as connection:
            closed.subscription = Subscriptions(wanted).of(connection, [customer])[customer]
        if closed.subscription is None:
            lacks = f"RECONCILE_MAPPING lacks the customer {brief(customer, 200)!r} of meter {wanted.name!r}"
            if self._has_used(wanted.name, customer):
                raise ReconcileError(f"{lacks}: what it uses is not billed. Add it, and run this again.")
            closed.nothing = lacks
        elif not self._is_active(closed, closed.subscription):
            name = f"{brief(closed.subscription, 200)!r}"
            if self._has_used(wanted.name, customer):
                raise ReconcileError(
                    f"Lago has no active subscription {name}, so no plan of it can change or end. Nothing was closed; "
                    "passes bill what is used, as ever."
                )
            closed.nothing = (
                f"meter {wanted.name!r} has billed nothing of the customer, and Lago has no active subscription {name}"
            )

    def _has_used(self, meter: str, customer: str) -> bool:
        """Whether a look has seen usage of the customer within the horizon, billed or unmapped."""
        event, unbilled = tables.event.c, tables.unbilled.c
        billed = event.meter == meter, event.window_start >= self._since, event.customer == customer
        unmapped = (
            unbilled.meter == meter,
            unbilled.why == "unmapped",
            unbilled.id == name_hash(customer),
        )
        with self._ledger.transaction() as connection:
            found = select(exists().where(*billed) | exists().where(*unmapped))
            return bool(connection.scalar(found))

    def _is_active(self, closed: Closed, subscription: str) -> bool:
        """Whether Lago has an active one; what can't be known may be so."""
        if subscription not in self._asked:
            try:
                self._asked[subscription] = self._lago.subscription(subscription) is not None
            except LagoAwayError:
                return True  # it may be back by the time that it is needed
            except (NotPermittedError, CantBeAskedError) as error:
                closed.warnings.append(f"Whether there is a plan to change is not known. {error}")
                return True
        return self._asked[subscription]

    def _unknown(self, found: Sequence[Subject], customer: str) -> str:
        """That there is no such customer, and who may be meant."""
        names: set[str] = set()
        with self._ledger.transaction() as connection:
            for subject in found:
                values = {"meter": subject.wanted.name, "since": self._since}
                names.update(name for (name,) in execute(connection, "report/names", values))
        like = alike(customer, names)
        guess = (
            f"did you mean {' or '.join(map(repr, like))}?" if like else "`reconcile customers` lists who was billed."
        )
        why = "; ".join(dict.fromkeys(subject.closed.nothing or "" for subject in found))
        return f"Nothing is known of the customer {brief(customer, 200)!r}: {why}; {guess}"
