"""Customers and their subscriptions.

A subscription is stored with its instants in microseconds; whether it is pending or active follows from the
clock when it is read. Upgrades, downgrades and anniversary billing are answered with a 501: the stand-in has
no plan changes yet.
"""

from collections.abc import Mapping
from typing import Any

from reconciler.sandbox.call import Call, paged
from reconciler.sandbox.catalog import PLAN, find
from reconciler.sandbox.errors import invalid, not_found, unsupported
from reconciler.sandbox.grammar import SECOND, format_instant, parse_iso
from reconciler.sandbox.periods import current_period
from reconciler.sandbox.store import Thing, new_id

CUSTOMER = "customer"
SUBSCRIPTION = "subscription"

_DAY = 86_400 * SECOND
_KEPT_BY_UPSERT = ("lago_id", "created_at")


def upsert_customer(call: Call) -> dict[str, Any]:
    """POST /customers: create the customer of that external id, or change the fields given."""
    params = call.root(CUSTOMER)
    if not params.get("external_id"):
        raise invalid({"external_id": ["value_is_mandatory"]})
    if params.get("timezone") not in {None, "UTC"}:
        raise unsupported("time zones other than UTC")
    return {CUSTOMER: _upsert(call, params)}


def list_customers(call: Call) -> dict[str, Any]:
    """GET /customers."""
    return paged(call, "customers", call.store.things(call.organization, CUSTOMER))


def show_customer(call: Call) -> dict[str, Any]:
    """GET /customers/:external_id."""
    return {CUSTOMER: find(call, CUSTOMER, call.path["external_id"])}


def create_subscription(call: Call) -> dict[str, Any]:
    """POST /subscriptions: subscribe a customer, created if need be; the same once more changes nothing."""
    params = call.root(SUBSCRIPTION)
    plan = find(call, PLAN, str(params.get("plan_code")))
    mandatory = [name for name in ("external_customer_id", "external_id") if not params.get(name)]
    if mandatory:
        raise invalid({name: ["value_is_mandatory"] for name in mandatory})
    if params.get("billing_time") not in {None, "calendar", "anniversary"}:
        raise invalid({"billing_time": ["value_is_invalid"]})
    if params.get("billing_time") == "anniversary" or params.get("plan_overrides") or params.get("ending_at"):
        raise unsupported("anniversary billing, plan_overrides and ending_at")
    now = call.lago.now()
    subscription_at = _date(params, "subscription_at", now)

    external_id = str(params["external_id"]).strip()
    for known in call.store.things(call.organization, SUBSCRIPTION, external_id):
        if status(known, now) not in {"active", "pending"}:
            continue
        if known["external_customer_id"] != params["external_customer_id"]:
            raise invalid({"external_id": ["value_already_exist"]})
        if known["plan_code"] != plan["code"]:
            raise unsupported("upgrades and downgrades")
        return {SUBSCRIPTION: render(known, now)}

    customer = _upsert(call, {"external_id": params["external_customer_id"], "currency": plan["amount_currency"]})
    subscription = {
        "lago_id": new_id(),
        "external_id": external_id,
        "lago_customer_id": customer["lago_id"],
        "external_customer_id": customer["external_id"],
        "name": params.get("name"),
        "plan_code": plan["code"],
        "plan_amount_cents": plan["amount_cents"],
        "plan_amount_currency": plan["amount_currency"],
        "subscription_at": subscription_at,
        "started_at": subscription_at,
        "terminated_at": None,
        "canceled_at": None,
        "created_at": now,
    }
    _save(call, subscription)
    return {SUBSCRIPTION: render(subscription, now)}


def list_subscriptions(call: Call) -> dict[str, Any]:
    """GET /subscriptions: the active ones unless `status[]` says otherwise."""
    now = call.lago.now()
    wanted = {
        "plan_code": call.query.get("plan_code"),
        "external_customer_id": call.query.get("external_customer_id"),
    }
    found = [
        render(one, now)
        for one in call.store.things(call.organization, SUBSCRIPTION)
        if status(one, now) == call.query.get("status[]", "active")
        and all(value is None or one[name] == value for name, value in wanted.items())
    ]
    return paged(call, "subscriptions", found)


def show_subscription(call: Call) -> dict[str, Any]:
    """GET /subscriptions/:external_id: the active one unless `status` says otherwise."""
    return {SUBSCRIPTION: render(_with_status(call), call.lago.now())}


def terminate_subscription(call: Call) -> dict[str, Any]:
    """DELETE /subscriptions/:external_id: terminate the active one now, or cancel the pending one."""
    subscription, now = _with_status(call), call.lago.now()
    ended = "canceled_at" if status(subscription, now) == "pending" else "terminated_at"
    subscription[ended] = now
    _save(call, subscription)
    return {SUBSCRIPTION: render(subscription, now)}


def status(subscription: Thing, now: int) -> str:
    """Return `pending`, `active`, `terminated` or `canceled`; as in Lago, a start later today is active."""
    if subscription["canceled_at"] is not None:
        return "canceled"
    if subscription["terminated_at"] is not None:
        return "terminated"
    return "active" if subscription["started_at"] // _DAY <= now // _DAY else "pending"


def render(subscription: Thing, now: int) -> dict[str, Any]:
    """Return a subscription as Lago serializes it."""
    period = current_period(subscription, now)
    state = status(subscription, now)

    def instant(name: str) -> str | None:
        value = subscription[name]
        return None if value is None else format_instant(value, milliseconds=name == "started_at")

    return {
        **{name: value for name, value in subscription.items() if not name.endswith("_at")},
        "status": state,
        "billing_time": "calendar",
        "subscription_at": instant("subscription_at"),
        "started_at": None if state in {"pending", "canceled"} else instant("started_at"),
        "trial_ended_at": None,
        "ending_at": None,
        "terminated_at": instant("terminated_at"),
        "canceled_at": instant("canceled_at"),
        "created_at": instant("created_at"),
        "previous_plan_code": None,
        "next_plan_code": None,
        "downgrade_plan_date": None,
        "current_billing_period_started_at": format_instant(period.start),
        "current_billing_period_ending_at": format_instant(period.end),
    }


def _with_status(call: Call) -> Thing:
    now = call.lago.now()
    wanted = call.query.get("status", "active")
    for subscription in call.store.things(call.organization, SUBSCRIPTION, call.path["external_id"]):
        if status(subscription, now) == wanted:
            return subscription
    raise not_found(SUBSCRIPTION)


def _date(params: Mapping[str, Any], name: str, default: int) -> int:
    if not params.get(name):
        return default
    try:
        return parse_iso(params[name])
    except (TypeError, ValueError):
        raise invalid({name: ["invalid_date"]}) from None


def _upsert(call: Call, params: Mapping[str, Any]) -> Thing:
    known = call.store.things(call.organization, CUSTOMER, params["external_id"])
    now = format_instant(call.lago.now())
    blank: Thing = {
        "lago_id": new_id(),
        "created_at": now,
        "name": None,
        "currency": None,
        "applicable_timezone": "UTC",
        "metadata": [],
    }
    kept = known[0] if known else blank
    given = {name: value for name, value in params.items() if name not in _KEPT_BY_UPSERT}
    customer = {**kept, **given, "updated_at": now}
    with call.store.transaction():
        call.store.save(call.organization, CUSTOMER, customer["external_id"], customer)
    return customer


def _save(call: Call, subscription: Thing) -> None:
    with call.store.transaction():
        call.store.save(call.organization, SUBSCRIPTION, subscription["external_id"], subscription)
