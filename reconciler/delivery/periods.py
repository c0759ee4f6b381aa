"""Billing periods that Lago has closed: usage for them would be accepted and never billed.

Lago's biller runs at ten past the hour and, without a grace period, finalizes what has ended by then (facts: lago
section 4). So an event that is sent later than that after its window asks for its subscription's period first.
"""

import itertools
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from threading import Lock

from reconciler.lago.client import Lago
from reconciler.ledger.outbox import Event
from reconciler.settings.meter import ClosedPeriod

BILLER_DELAY = timedelta(minutes=10)
"""How long after a period's end Lago's biller leaves it open."""

_REMEMBERED = 50_000
_ASKED_ONE_BY_ONE = 10
_PAGES = 50


@dataclass(frozen=True)
class Period:
    """A subscription's current billing period, UTC; without an end it is asked for again each time."""

    started_at: datetime
    ends_at: datetime | None


class Periods:
    """Knows subscriptions' current periods, each asked for once while it lasts. Senders share it."""

    def __init__(
        self, lago: Lago, rule: ClosedPeriod, window_end: Callable[[datetime], datetime], now: Callable[[], datetime]
    ) -> None:
        """Ask nothing yet.

        Args:
            lago: who knows the periods.
            rule: what becomes of usage for a closed one; by `send` nobody is asked.
            window_end: the end of the window that begins at a moment.
            now: a clock in UTC.
        """
        self.rule = rule
        self._lago = lago
        self._window_end = window_end
        self._now = now
        self._known: OrderedDict[str, Period | None] = OrderedDict()
        self._lock = Lock()
        self._asked = 0
        self._listed = False

    def may_be_late(self, event: Event) -> bool:
        """Whether an event comes so late after its window that its period may be closed."""
        return self.rule != "send" and self._now() >= self._window_end(event.window_start) + BILLER_DELAY

    def closed_before(self, event: Event) -> datetime | None:
        """When the present period of an event's subscription began, if the event, which may be late, is.

        Returns:
            None if its period is open, or if Lago knows no active subscription of that name (it may come, and usage
            of its lifetime counts then).

        Raises:
            LagoError: Lago is away or refuses us.
        """
        now, window_end = self._now(), self._window_end(event.window_start)
        period = self._period(event.subscription, now)
        if period is None or window_end > period.started_at or now < period.started_at + BILLER_DELAY:
            return None
        return period.started_at

    def _period(self, subscription: str, now: datetime) -> Period | None:
        with self._lock:
            if subscription in self._known:
                period = self._known[subscription]
                if period is None or (period.ends_at is not None and now < period.ends_at):
                    self._known.move_to_end(subscription)
                    return period
            elif self._all_are_known():
                return None
            self._asked += 1
        period = _read(self._lago.subscription(subscription))
        with self._lock:
            self._remember(subscription, period)
        return period

    def _all_are_known(self) -> bool:
        """Read all active subscriptions, once, when many are asked for: page by page instead of one by one."""
        if self._asked == _ASKED_ONE_BY_ONE:
            self._asked += 1
            found: dict[str, Period | None] = {}
            for page in itertools.islice(self._lago.subscriptions(), _PAGES):
                found |= {str(each.get("external_id")): _read(each) for each in page}
            # More than can be remembered, or a Lago that tells no periods here: then one by one after all.
            self._listed = len(found) < _REMEMBERED and None not in found.values()
            for subscription, period in found.items() if self._listed else ():
                self._remember(subscription, period)
        return self._listed

    def _remember(self, subscription: str, period: Period | None) -> None:
        self._known[subscription] = period
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)


def _read(subscription: dict[str, object] | None) -> Period | None:
    if subscription is None:
        return None
    started_at = _moment(subscription.get("current_billing_period_started_at"))
    ends_at = _moment(subscription.get("current_billing_period_ending_at"))
    return None if started_at is None else Period(started_at, ends_at)


def _moment(value: object) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        return datetime.fromisoformat(value).astimezone(UTC)
    except ValueError:
        return None
