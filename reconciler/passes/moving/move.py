"""`reconcile move`: what there is to move, what Lago will count of it, and the move itself, as a person has seen it."""

from collections.abc import Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import select

from reconciler.capture.misplaced import Misplaced
from reconciler.capture.subscriptions import Subscriptions
from reconciler.database.postgres import server_clock
from reconciler.delivery.mirror import Mirror
from reconciler.delivery.periods import SENT_AS_WELL, Periods
from reconciler.lago.client import Lago
from reconciler.lago.sentences import NotPermittedError
from reconciler.ledger import alarms, changes, meters, tables
from reconciler.ledger.meters import Meter
from reconciler.ledger.passes import Patience
from reconciler.ledger.store import open_ledger
from reconciler.model.errors import ReconcileError, UsageError
from reconciler.model.guesses import alike
from reconciler.model.visible import brief
from reconciler.model.when import When, whole_windows
from reconciler.model.words import minute
from reconciler.passes.moving import outlook
from reconciler.passes.moving.parts import Parts
from reconciler.report.move import Found, Made
from reconciler.report.status import known_meters, require_ledger
from reconciler.settings.load import Settings
from reconciler.settings.meter import MeterSettings


@dataclass(frozen=True)
class _Chosen:
    """What a person was shown, and what plans it."""

    wanted: MeterSettings
    found: Found
    parts: Parts


class Move:
    """Moves one customer's usage, with one set of settings."""

    def __init__(self, settings: Settings, customer: str, subscription: str) -> None:
        """Connect to nothing yet.

        Args:
            settings: where ledger and Lago are, and which meters.
            customer: whose usage, as the spend table's column has it.
            subscription: where it belongs: the external id of a subscription.
        """
        self._settings = settings
        self._customer = customer
        self._subscription = subscription
        self._ledger = open_ledger(settings)
        self._lago = Lago.of(settings)
        self._chosen: _Chosen | None = None

    def close(self) -> None:
        """Close the connections."""
        self._lago.close()
        self._ledger.close()

    def look(self, since: When, until: When | None = None, *, dry_run: bool = False) -> Found:
        """What there is to move in `[since, until)`, and what Lago will count of that.

        Args:
            since: the begin.
            until: the end, exclusive; None is all that there is.
            dry_run: keep nothing at all, not even what Lago tells of subscriptions.

        Raises:
            UsageError: nothing is billed of the customer, or more than one meter did; or there is no such subscription.
            ReconcileError: the ledger or Lago can't be used, or Lago's metric is no sum.
        """
        if not self._customer.strip() or not self._subscription.strip():
            raise UsageError("Say whose usage, and where it belongs: `reconcile move CUSTOMER --to SUBSCRIPTION`.")
        with self._ledger.dry() if dry_run else nullcontext():
            with self._ledger.transaction() as connection:
                require_ledger(connection)
                known = known_meters(connection, self._settings)
            found = [self._of(wanted, meter, since, until) for wanted, meter in known]
            self._chosen = chosen = self._one(found)
            if chosen.found.moving:
                self._ask(chosen)
            return chosen.found

    def make(self, reason: str) -> Made:
        """Plan what `look` has found; the next pass sends it.

        Args:
            reason: why; kept in the ledger.

        Raises:
            ReconcileError: it is no longer as it was shown, or a pass has the meter's turn; says what was moved before.
        """
        if not reason.strip():
            raise UsageError("This needs a reason, such as --reason 'acme was mapped to globex by mistake'.")
        if self._chosen is not None and self._chosen.found.moving:
            try:
                self._chosen.parts.make(reason.strip())
            except ReconcileError:
                with suppress(ReconcileError):
                    self._review(self._chosen.found.meter)
                raise
            self._review(self._chosen.found.meter)
        return self.made

    @property
    def made(self) -> Made:
        """What was planned so far."""
        return self._chosen.parts.made if self._chosen else Made()

    def _review(self, meter: str) -> None:
        """Let alarms ring, or end, as a pass does at its end."""
        with self._ledger.transaction() as connection:
            alarms.review_now(connection, meter, self._settings.horizon, Patience.of(self._settings))

    def _of(self, wanted: MeterSettings, meter: Meter, since: When, until: When | None) -> _Chosen:
        """What one meter has billed of the customer elsewhere."""
        with self._ledger.transaction() as connection:
            begin, end = whole_windows(since, until, server_clock(connection), meter.timeline.floor)
        misplaced = Misplaced(wanted, meter.name, self._customer, self._subscription)
        parts = Parts(meter.name, misplaced, self._ledger, self._settings.limits)
        parts.look(meter.timeline, begin, end)
        return _Chosen(wanted, Found(meter.name, self._customer, self._subscription, begin, end, parts.lines), parts)

    def _one(self, found: Sequence[_Chosen]) -> _Chosen:
        """The one meter that has something to move, or any of those that bill the customer.

        Raises:
            UsageError: there is none, or more than one.
        """
        some = [each for each in found if each.found.lines]
        if len(some) > 1:
            names = " and ".join(repr(each.found.meter) for each in some)
            raise UsageError(f"The meters {names} have billed this customer elsewhere: name one by --meter.")
        if some:
            return some[0]
        billed = [each for each in found if self._bills(each.found)]
        if not billed:
            raise UsageError(self._unknown(found[0].found))
        return billed[0]

    def _bills(self, found: Found) -> bool:
        event = tables.event.c
        theirs = [event.meter == found.meter, event.customer == self._customer, event.window_start >= found.since]
        if found.until is not None:
            theirs.append(event.window_start < found.until)
        with self._ledger.transaction() as connection:
            return connection.scalar(select(event.revision).where(*theirs).limit(1)) is not None

    def _unknown(self, found: Found) -> str:
        values = {"meter": found.meter, "since": found.since}
        like = alike(self._customer, [name for (name,) in self._ledger.once("report/names", values)])
        guess = (
            f"did you mean {' or '.join(map(repr, like))}?" if like else "`reconcile customers` lists who is billed."
        )
        until = f" to {minute(found.until)}" if found.until else ""
        who = brief(self._customer, 200)
        return f"Nothing is billed of the customer {who!r} from {minute(found.since)}{until}; {guess}"

    def _ask(self, chosen: _Chosen) -> None:
        """Ask Lago what it will count of a move, and note it."""
        found = chosen.found
        moments, codes = chosen.parts.moments(), chosen.parts.codes
        with self._ledger.transaction() as connection:
            meter = meters.load(connection, found.meter)
            mapped = Subscriptions(chosen.wanted).of(connection, [self._customer])[self._customer]
        assert meter is not None
        changes.refuse_moved(meter, source={}, lago=self._settings.lago_api_base)
        told = self._lago.organization()
        changes.refuse_another_organization(meter, told)
        if any(line.fate == "compensate" for line in found.lines):
            found.warnings += outlook.metrics(self._lago, codes)
        mirror = Mirror(meter, self._ledger, self._lago, told.id if told else None, datetime.now(UTC))
        periods = Periods(mirror, chosen.wanted.closed_period)
        try:
            if not periods.has_one(self._subscription):
                raise UsageError(
                    f"Lago knows no subscription {brief(self._subscription, 200)!r}: make it first, or mend --to."
                )
            found.doubts = [*outlook.uncounted(periods, moments), *outlook.in_advance(self._lago, codes, moments)]
        except NotPermittedError as error:
            periods.warn(error, SENT_AS_WELL)
        found.warnings += periods.warnings
        if mapped != self._subscription:
            goes = f"to {brief(mapped, 200)!r}" if mapped else "nowhere"
            found.warnings.append(
                f"Usage to come still goes {goes}, also what comes late in these windows: mend RECONCILE_MAPPING or "
                "RECONCILE_SUBSCRIPTION."
            )
