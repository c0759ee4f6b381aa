"""Who is to be subscribed, from when on, and whose usage Lago bills in no period any more. Pure.

Facts: lago section 4, and section 16 "A month ends". Lago bills on billing days only: no invoice is made of periods
before the one in which a subscription was made, whatever its `subscription_at` says.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo
from typing import Any

from reconciler.lago.shown import LONGEST_NAME
from reconciler.lago.subscriptions import lagos_time
from reconciler.model.money import plain
from reconciler.model.visible import brief
from reconciler.model.windows import utc_text
from reconciler.model.words import minute
from reconciler.report.summary import iso
from reconciler.report.usage import Usage
from reconciler.verify.setup.decision import UNCHANGED, Call, Thing

_EARLIEST = 2000
"""No subscription of Lago's was made before that year."""

_MONTHS = {"monthly": 1, "quarterly": 3, "semiannual": 6, "yearly": 12}


@dataclass(frozen=True)
class Wanted:
    """Somebody who has used something.

    Attributes:
        customer: the external id of the customer in Lago.
        subscription: the external id of the subscription that its events name.
        usage: what was used.
    """

    customer: str
    subscription: str
    usage: Usage

    @property
    def shown(self) -> str:
        """The name in a sentence."""
        return repr(brief(self.subscription, 100))


@dataclass(frozen=True)
class Unbilled:
    """Usage that Lago bills in no period any more.

    Attributes:
        wanted: whose.
        before: the moment from which on it is billed.
        usage: what lies before it.
    """

    wanted: Wanted
    before: datetime
    usage: Usage

    def as_json(self) -> dict[str, Any]:
        """Plain values: a time in UTC, money as decimal text in USD."""
        usage = {"events": self.usage.events, "cost": plain(self.usage.cost)}
        return {"subscription": self.wanted.subscription, "before": iso(self.before), **usage}


def period_start(plan: Thing, now: datetime, zone: tzinfo) -> datetime:
    """When the present period of a plan's charges began, for a customer whose days begin in that zone; in UTC."""
    interval = "monthly" if plan.get("bill_charges_monthly") else str(plan.get("interval"))
    day = now.astimezone(zone).date()
    if interval == "weekly":
        first = day - timedelta(days=day.weekday())
    else:
        months = _MONTHS.get(interval, 1)
        first = day.replace(month=day.month - (day.month - 1) % months, day=1)
    return datetime.combine(first, time.min, zone).astimezone(UTC)


def name_fault(wanted: Wanted) -> str | None:
    """Why no subscription can have such a name, a sentence."""
    name = wanted.subscription
    if name != name.strip():
        why = "begins or ends with a blank, which Lago cuts off"
    elif max(len(name.encode()), len(wanted.customer.encode())) > LONGEST_NAME:
        why = f"is longer than {LONGEST_NAME:,} bytes, which no index of Lago holds"
    else:
        return None
    return f"No subscription can be called {wanted.shown}: it {why}. Give it another name in RECONCILE_MAPPING."


def subscribe(wanted: Wanted, plan: str, since: datetime, found: Thing | None) -> list[Call] | str:
    """What makes a subscription of somebody who has none, or a sentence that says why none can be made.

    Args:
        wanted: who.
        plan: the code of the plan.
        since: when its first period began.
        found: the customer, if Lago knows it.
    """
    currency = found.get("currency") if found else None
    if currency not in {None, "USD"}:
        return (
            f"The customer {brief(wanted.customer, 100)!r} is billed in {currency}, and usage is in USD. {UNCHANGED}: "
            "let another customer have the subscription, by RECONCILE_MAPPING."
        )
    customer = Call("customer", wanted.customer, {"external_id": wanted.customer, "currency": "USD"})
    thing = {
        "external_customer_id": wanted.customer,
        "external_id": wanted.subscription,
        "plan_code": plan,
        "billing_time": "calendar",
        "subscription_at": utc_text(since),
    }
    return [*([] if found else [customer]), Call("subscription", wanted.subscription, thing)]


def present(subscriptions: Sequence[Thing]) -> Thing:
    """Of some, the one that is active, else the one that is yet to begin, else one that has ended."""
    of_status: Mapping[Any, Thing] = {one.get("status"): one for one in subscriptions}
    return next((of_status[status] for status in ("active", "pending") if status in of_status), subscriptions[0])


def billed_from(subscriptions: Sequence[Thing], plan: Thing, zone: tzinfo) -> datetime | None:
    """From when on usage of a name is billed that has, or had, subscriptions; None if Lago does not say.

    Of an upgraded one, that is before the upgrade. The first period that is billed is the one in which it was made. If
    that is over, it is reckoned in the organization's zone, less a day: a customer's own zone may be ahead of it.
    """
    moments = []
    for one in subscriptions:
        started, created = lagos_time(one.get("started_at")), lagos_time(one.get("created_at"))
        period = lagos_time(one.get("current_billing_period_started_at"))
        if not started or not created or created.year < _EARLIEST:
            continue
        is_new = period is not None and created >= period
        first = period if is_new and period else period_start(plan, created, zone) - timedelta(days=1)
        moments.append(max(started, first))
    return min(moments, default=None)


def not_active(wanted: Wanted, found: Thing) -> str | None:
    """Why a subscription that is there takes no usage now, a sentence; None if it is active."""
    match found.get("status"):
        case "active":
            return None
        case "pending":
            why = f"begins at {found.get('subscription_at')} only: what is used before is not billed"
        case _:
            why = f"has ended at {found.get('terminated_at')}: if the customer is to go on, subscribe it again in Lago"
    return f"The subscription {wanted.shown} {why}. {UNCHANGED}."


def began_later(unbilled: Unbilled, period: datetime) -> str | None:
    """Say that a subscription that is there began within the present period, after usage; None if it did not."""
    last = unbilled.usage.last_window
    if last is None or last < period:
        return None
    return (
        f"The subscription {unbilled.wanted.shown} began at {minute(unbilled.before)}, and there is usage of its "
        f"present period before that, {plain(unbilled.usage.cost)} USD with all that is older. {UNCHANGED}: passes "
        "hold that usage, and `reconcile held release --move` bills it in the present period."
    )
