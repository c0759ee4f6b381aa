"""The gate: may this meter's planned batches go to Lago now?

First whether Lago is worth asking: an outage that lasts is asked about by one pass at a time. Then whether it is the
same Lago as ever, with a metric for our events. Then what it holds already, can't take or will not bill.
"""

from collections import defaultdict
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import timedelta

from sqlalchemy import Connection, bindparam, select, update

from reconciler.database.postgres import execute
from reconciler.delivery.ask_first import AskFirst
from reconciler.delivery.billable.metric import countable, metric_fault, unbillable
from reconciler.delivery.periods import Periods
from reconciler.delivery.waiting import Waiting
from reconciler.lago.client import Lago
from reconciler.lago.sentences import NotPermittedError
from reconciler.lago.stores import Store
from reconciler.ledger import alarms, lagos, meters, tables, twins
from reconciler.ledger.batches import Part, Seen
from reconciler.ledger.kinds.alarm import Alarm
from reconciler.ledger.meters import Meter
from reconciler.ledger.outbox import ADMISSION, hold_later_revisions, split_off
from reconciler.ledger.store import Ledger
from reconciler.model.errors import LagoAwayError, LagoError, MeterChangedError
from reconciler.report.figures import Delivered
from reconciler.report.usage import whole
from reconciler.settings.meter import MeterSettings

UNSEEN = timedelta(hours=1)
"""A ledger that no delivery has seen for so long may be one from a snapshot of its machine."""

_IN_CONFLICT = select(tables.batch.c.id).where(
    tables.batch.c.meter == bindparam("of"), tables.batch.c.state == "quarantined", tables.batch.c.conflict
)


class Lagos:
    """What all meters of a pass share of the Lago that they send to: asked once, with the pass's turn."""

    def __init__(self, lago: Lago, ledger: Ledger) -> None:
        """Ask nothing yet."""
        self._lago = lago
        self._ledger = ledger
        self._known: tuple[Store, bool] | None = None
        self._away: LagoAwayError | None = None
        self.organization: str | None = None
        """Lago's own id of the organization; None if it does not tell."""
        self.zone: str | None = None
        """In which its customers' days begin; None if it does not tell."""

    def ask(self) -> tuple[Store, bool]:
        """Which store Lago has, and whether it was away until now.

        Raises:
            LagoAwayError: it is still away, or another pass is asking.
        """
        if self._away is not None:
            raise self._away
        self._known = self._known or self._ask()
        return self._known

    def is_away(self, error: LagoAwayError) -> None:
        """Note that Lago can't be reached, so that the pass's other meters leave it alone."""
        if error is not self._away:
            self._away = error
            with self._ledger.transaction() as connection:
                lagos.is_away(connection, self._lago.base)

    def is_back(self) -> None:
        """Note that Lago works, if it was away until now."""
        if self._known is None or not self._known[1]:
            return
        self._known = self._known[0], False
        with self._ledger.transaction() as connection:
            lagos.is_back(connection, self._lago.base)

    def _ask(self) -> tuple[Store, bool]:
        base = self._lago.base
        with self._ledger.transaction() as connection:
            known, turn = lagos.may_ask(connection, base)
        careful = known.away_since is not None
        if not turn:
            self._away = LagoAwayError(
                f"Lago at LAGO_API_BASE ({base}) can't be reached since {known.away_since:%Y-%m-%d %H:%M} UTC; it was "
                f"asked at {known.asked_at:%H:%M:%S} and is asked again from {known.next_at:%H:%M:%S} on. "
                "All events stay planned."
            )
            raise self._away
        organization = self._lago.organization(careful=careful)
        store = self._lago.store(organization)
        self.organization = organization.id if organization else None
        self.zone = organization.timezone if organization else None
        if store != known.store:
            with self._ledger.transaction() as connection:
                lagos.has_store(connection, base, store)
        return store, careful


def hold_to(meter: Meter, ledger: Ledger, organization: str | None, *, adopt: bool) -> Meter:
    """See that a meter sends to the organization that it has always sent to (invariant 10).

    Args:
        meter: as the ledger has it.
        ledger: where it is.
        organization: Lago's own id of the one that the key is of; None if it does not tell.
        adopt: whether another one was declared.

    Returns:
        The meter as it is now: what it sends to is noted.

    Raises:
        MeterChangedError: Lago says another, or it is one to which another meter bills the same; says the choices.
    """
    known, name = meter.organization, meter.name
    if organization is None or organization == known:
        return meter
    if known is not None and not adopt:
        raise MeterChangedError(
            f"Meter {name!r} has sent to Lago's organization {known}, and LAGO_API_KEY is a key of {organization}. "
            "Nothing was sent. Choose: set the old key back; if another organization is meant, give it its own "
            f"RECONCILE_METER (not {name!r}); or, if the organization has moved, run `reconcile --adopt` once."
        )
    this = tables.meter.c.name == name
    declared, why = adopt and known is None, twins.ORGANIZATION if known is None else twins.CHANGED
    with ledger.transaction() as connection:
        # The meter's row, then the lock that all meters share: in this order, as whoever begins a pass.
        connection.execute(select(tables.meter.c.name).where(this).with_for_update())
        twins.one_at_a_time(connection)
        with nullcontext() if declared else twins.no_new_one(connection, name, why):
            connection.execute(update(tables.meter).where(this).values(organization=organization))
        if known is not None:
            meters.forget_metrics(connection, name)
    return replace(meter, organization=organization, metric_seen=meter.metric_seen and known is None)


@dataclass(frozen=True)
class Gate:
    """Lets one meter's batches through."""

    meter: Meter
    ledger: Ledger
    lago: Lago

    def see_metric(self, wanted: MeterSettings) -> None:
        """Before the first batch of a code: ask whether Lago has a metric for it.

        One that does not count our usage rings, and is asked for again by each pass until it does: what is sent
        meanwhile counts from then on.

        Args:
            wanted: the meter's settings.

        Raises:
            LagoError: it has none: what is sent would never be billed.
        """
        if self.meter.metric_seen:
            return
        code = self.meter.timeline.latest.code
        try:
            metric = self.lago.metric(code)
        except NotPermittedError:
            return
        if metric is None:
            raise LagoError(
                f"Lago at LAGO_API_BASE ({self.lago.base}) has no billable metric with the code {code!r}, so nothing "
                "sent under it would be billed. All events stay planned. Mend LAGO_API_EVENT_CODE, or make the metric: "
                "`reconcile setup`."
            )
        if metric_fault(metric, countable(wanted)) is None:
            with self.ledger.transaction() as connection:
                meters.see_metric(connection, self.meter.name, code)
                self.ledger.clear(connection, self.meter.name, "metric")
            return
        waiting = {name: whole(models) for name, models in Waiting(self.meter.name, self.ledger).used().items()}
        if uncounted := unbillable(wanted, metric, waiting):
            with self.ledger.transaction() as connection:
                message = f"What is sent is not billed: {uncounted.sentence}"
                self.ledger.ring(connection, self.meter.name, Alarm("metric", message))

    def admit(self, store: Store, periods: Periods, *, horizon: timedelta) -> Delivered:
        """Let through what may go; settle what needs not.

        Returns:
            What became of events here: accepted, since Lago held them already; quarantined, since it can't take them;
            held, since it will not bill them.

        Raises:
            UnknownEventsError: Lago holds events of this meter that the ledger does not know, or plans otherwise.
            LagoError: Lago is away or refuses us.
            EndedError: the time is up; the next pass goes on from here.
        """
        done = Delivered()
        asking = AskFirst(self.meter, self.ledger, self.lago)
        # A transaction locks one set of batches, in the order of their ids: so passes that deliver at once can't lock
        # each other out.
        with self.ledger.transaction() as connection:
            place = self._place(connection)
            self._hold_behind_conflicts(connection)
        with self.ledger.transaction() as connection:
            done.quarantined += self._quarantine_unsendable(connection, store)
        with self.ledger.transaction() as connection:
            asking.begin(connection)
            periods.begin(connection)
            execute(connection, "delivery/note_place", {"meter": self.meter.name, "place": place, "good_for": UNSEEN})
        asking.run(horizon=horizon)
        done.accepted += asking.accepted
        if kept_back := periods.settle(done):
            with self.ledger.transaction() as connection:
                execute(connection, "delivery/keep_back", {"batches": kept_back})
        with self.ledger.transaction() as connection:
            key = periods.mirror.key if periods.are_mirrored else None
            values = {"meter": self.meter.name, "kept_back": kept_back, "key": key, "good_for": ADMISSION / 3}
            if key is not None:
                execute(connection, "delivery/see_subscribed", values)
                execute(connection, "delivery/note_unsubscribed", values)
            execute(connection, "delivery/admit", values)
            alarms.clear(connection, self.meter.name, "foreign")
        return done

    def _place(self, connection: Connection) -> str | None:
        """Where the ledger lies; if it may be older than what Lago has seen, all that it asked before is asked anew."""
        values = {"meter": self.meter.name, "good_for": UNSEEN}
        row = execute(connection, "delivery/may_be_older", values).fetchone()
        place, may_be_older = row or (None, False)
        if may_be_older:
            execute(connection, "delivery/ask_anew", values)
        return place

    def _hold_behind_conflicts(self, connection: Connection) -> None:
        """Hold what a sender had when an earlier revision of its bucket turned out to be in conflict, and gave back."""
        if conflicting := list(connection.scalars(_IN_CONFLICT, {"of": self.meter.name})):
            hold_later_revisions(connection, conflicting)

    def _quarantine_unsendable(self, connection: Connection, store: Store) -> int:
        """Quarantine what Lago is known to choke on, before it is sent; return how many events that is."""
        parts: dict[Seen, list[Part]] = defaultdict(list)
        rows = execute(connection, "delivery/unsendable", {"meter": self.meter.name, "store": store})
        for *seen, reason, places in rows:
            parts[Seen(*seen)].append(Part(places, "quarantined", answer=f"not sent: {reason}"))
        return sum(
            sum(len(part.places) for part in bad)
            for batch, bad in parts.items()
            if split_off(connection, batch, bad, stays=Part((), "planned"))
        )
