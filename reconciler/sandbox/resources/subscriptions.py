"""Subscriptions: who gets which plan from when to when, and what changes that.

A better plan (one that costs at least as much a year) replaces the old one at once, a cheaper one when the
billing period ends: until then it is a second, pending subscription of the same external id. What happens by
the clock (a start, an end, the change to a cheaper plan) is the business of `billing`.
"""

from collections.abc import Mapping
from datetime import date
from typing import Any

from reconciler.sandbox.call import Call, paged
from reconciler.sandbox.grammar import SECOND, format_instant
from reconciler.sandbox.refusals import invalid, not_found
from reconciler.sandbox.resources.catalog import (
    PLAN,
    SUBSCRIPTION,
    find,
    mandatory,
    moment,
    premium,
    refuse,
    refuse_unsupported,
    text,
)
from reconciler.sandbox.resources.customers import upsert, zone_of
from reconciler.sandbox.resources.plans import render_plan, yearly_amount
from reconciler.sandbox.schedule.periods import Schedule, lived
from reconciler.sandbox.stores.store import Store, Thing, new_id

_BILLING_TIMES = frozenset({"calendar", "anniversary"})
_STATUSES = ("pending", "active", "terminated", "canceled")
_AT_TERMINATION = frozenset({"generate", "skip"})
_DAY = 86_400 * SECOND
_NOT_HERE = ("payment_method", "invoice_custom_section", "activation_rules", "usage_thresholds", "billing_entity_code")


def create_subscription(call: Call) -> dict[str, Any]:
    """POST /subscriptions: subscribe a customer, created if need be; the same once more changes nothing."""
    params = call.root(SUBSCRIPTION)
    plan = find(call, PLAN, str(params.get("plan_code")))
    subscription_at = moment(params, "subscription_at") or call.lago.now()
    _check_ending(call, params, subscription_at)
    if "plan_overrides" in params:
        raise premium()
    customer_id = text(params, "external_customer_id") or ""
    refuse(mandatory({"external_customer_id": customer_id}, "external_customer_id"))
    refuse_unsupported(params, *_NOT_HERE)
    if params.get("billing_time") not in {None, *_BILLING_TIMES}:
        raise invalid({"billing_time": ["value_is_invalid"]})
    external_id = (text(params, "external_id") or "").strip()
    refuse(mandatory({"external_id": external_id}, "external_id"))
    known = call.store.things(call.organization, SUBSCRIPTION, external_id)
    mine = next((one for one in known if one["external_customer_id"] == customer_id and _is_editable(one)), None)
    if mine is None and any(one["status"] == "active" for one in known):
        raise invalid({"external_id": ["value_already_exist"]})
    customer = upsert(call, {"external_id": customer_id, "currency": plan["amount_currency"]})
    if mine is None:
        return _answer(call, _create(call, params, external_id, customer, plan, subscription_at))
    if mine["plan_id"] == plan["lago_id"]:
        return _answer(call, mine)
    return _answer(call, _change_plan(call, params, mine, plan))


def list_subscriptions(call: Call) -> dict[str, Any]:
    """GET /subscriptions: the active ones unless `status[]` says otherwise, the latest start first."""
    statuses = call.query.get("status[]", "active").split(",")
    wanted = {name: call.query[name] for name in ("plan_code", "external_customer_id") if call.query.get(name)}
    found = [
        one
        for one in call.store.things(call.organization, SUBSCRIPTION)
        if one["status"] in statuses and all(one[name] == value for name, value in wanted.items())
    ]
    found.sort(key=lambda one: (one["subscription_at"], one["created_at"]), reverse=True)
    return paged(call, "subscriptions", found, lambda one: render_subscription(call, one))


def show_subscription(call: Call) -> dict[str, Any]:
    """GET /subscriptions/:external_id: the active one unless `status` says otherwise."""
    return _answer(call, _of_status(call))


def update_subscription(call: Call) -> dict[str, Any]:
    """PUT /subscriptions/:external_id: its name and end, and the start of one that has yet to start."""
    params = call.root(SUBSCRIPTION)
    subscription = _of_status(call)
    subscription_at = moment(params, "subscription_at")
    _check_ending(call, params, subscription_at or subscription["subscription_at"])
    if "plan_overrides" in params:
        raise premium()
    refuse_unsupported(params, *_NOT_HERE)
    _check_at_termination(params)
    if "name" in params:
        subscription["name"] = params["name"]
    if "ending_at" in params:
        subscription["ending_at"] = moment(params, "ending_at")
    if "on_termination_invoice" in params:
        subscription["on_termination_invoice"] = params["on_termination_invoice"]
    if subscription_at and subscription["status"] == "pending" and not subscription["previous_id"]:
        subscription["subscription_at"] = subscription_at
        if subscription_at <= call.lago.now():
            subscription |= {"status": "active", "started_at": subscription_at}
    return _answer(call, keep(call, subscription))


def terminate_subscription(call: Call) -> dict[str, Any]:
    """DELETE /subscriptions/:external_id: terminate the active one now, or cancel the pending one."""
    subscription = _of_status(call)
    params = {**call.body, **call.query}
    _check_at_termination(params)
    if how := params.get("on_termination_invoice"):
        subscription["on_termination_invoice"] = how
    terminate(call, subscription, call.lago.now())
    return _answer(call, subscription)


# -- also for `billing` and for what subscriptions have


def find_subscription(call: Call) -> Thing:
    """Return the subscription of the path: the active one unless `subscription_status` or `status` says otherwise.

    Raises:
        RefusalError: 404, there is none.
    """
    return _of_status(call, call.query.get("subscription_status"))


def terminate(call: Call, subscription: Thing, at: int) -> None:
    """End an active subscription or cancel a pending one, and cancel the one that was to follow it."""
    if subscription["status"] == "pending":
        subscription |= {"status": "canceled", "canceled_at": at}
    else:
        subscription |= {"status": "terminated", "terminated_at": at}
    keep(call, subscription)
    if (following := following_of(call.store, call.organization, subscription)) and following["status"] == "pending":
        keep(call, following | {"status": "canceled", "canceled_at": at})


def keep(call: Call, subscription: Thing) -> Thing:
    """Save a subscription; what is due when may have changed, also for the one before it."""
    with call.store.transaction():
        call.store.save(call.organization, SUBSCRIPTION, subscription["external_id"], subscription)
    for lago_id in filter(None, (subscription["lago_id"], subscription["previous_id"])):
        call.lago.agenda.changed(call.organization, lago_id)
    return subscription


def following_of(store: Store, organization: str, subscription: Thing) -> Thing | None:
    """Return the subscription that replaces or is to replace this one, unless it was canceled."""
    for one in store.things(organization, SUBSCRIPTION, subscription["external_id"]):
        if one["previous_id"] == subscription["lago_id"] and one["status"] != "canceled":
            return one
    return None


def schedule_of(store: Store, organization: str, subscription: Thing) -> Schedule:
    """Return when a subscription's billing periods begin."""
    plan = store.thing(subscription["plan_id"])
    zone = zone_of(store, organization, store.thing(subscription["lago_customer_id"]))
    calendar = Schedule(plan["interval"], None, zone)
    if subscription["billing_time"] == "calendar":
        return calendar
    return calendar._replace(anchor=calendar.day(subscription["subscription_at"]))


def render_subscription(call: Call, subscription: Thing) -> dict[str, Any]:
    """Return a subscription as Lago serializes it."""
    store, plan = call.store, call.store.thing(subscription["plan_id"])
    schedule = schedule_of(store, call.organization, subscription)
    previous = store.thing(subscription["previous_id"]) if subscription["previous_id"] else None
    following = following_of(store, call.organization, subscription)
    downgrade: date | None = None
    if following and following["status"] == "pending":
        downgrade = schedule.day(schedule.holding(call.lago.now()).end + 1)
    period = None
    if (started_at := subscription["started_at"]) is not None:
        now = max(call.lago.now(), started_at)
        period = lived(schedule.holding(now), subscription)

    def instant(name: str) -> str | None:
        value = subscription[name]
        return None if value is None else format_instant(value, milliseconds=name == "started_at")

    return {
        "lago_id": subscription["lago_id"],
        "external_id": subscription["external_id"],
        "lago_customer_id": subscription["lago_customer_id"],
        "external_customer_id": subscription["external_customer_id"],
        "name": subscription["name"],
        "plan_code": plan["code"],
        "plan_amount_cents": plan["amount_cents"],
        "plan_amount_currency": plan["amount_currency"],
        "status": subscription["status"],
        "billing_time": subscription["billing_time"],
        "subscription_at": instant("subscription_at"),
        "started_at": instant("started_at"),
        "trial_ended_at": None,
        "ending_at": instant("ending_at"),
        "terminated_at": instant("terminated_at"),
        "canceled_at": instant("canceled_at"),
        "created_at": instant("created_at"),
        "previous_plan_code": store.thing(previous["plan_id"])["code"] if previous else None,
        "next_plan_code": store.thing(following["plan_id"])["code"] if following else None,
        "downgrade_plan_date": downgrade.isoformat() if downgrade else None,
        "current_billing_period_started_at": format_instant(period.start) if period else None,
        "current_billing_period_ending_at": format_instant(period.end) if period else None,
        "on_termination_credit_note": None,
        "on_termination_invoice": subscription["on_termination_invoice"],
        "progressive_billing_disabled": False,
        "consolidate_invoice": True,
        "payment_method": {"payment_method_id": None, "payment_method_type": "provider"},
    }


def _answer(call: Call, subscription: Thing) -> dict[str, Any]:
    """A subscription that was asked for by its name shows its plan; a list does not."""
    plan = render_plan(call.store.thing(subscription["plan_id"]))
    return {SUBSCRIPTION: render_subscription(call, subscription) | {"plan": plan}}


def _is_editable(subscription: Thing) -> bool:
    """Tell whether a POST means this one: an active one, or one that has yet to start."""
    return subscription["status"] == "active" or (
        subscription["status"] == "pending" and not subscription["previous_id"]
    )


def _create(
    call: Call, params: Mapping[str, Any], external_id: str, customer: Thing, plan: Thing, subscription_at: int
) -> Thing:
    """Make a subscription; it is active if it starts today or before, even if that is later today."""
    subscription: Thing = {
        "lago_id": new_id(),
        "external_id": external_id,
        "lago_customer_id": customer["lago_id"],
        "external_customer_id": customer["external_id"],
        "name": params.get("name"),
        "plan_id": plan["lago_id"],
        "plan_code": plan["code"],
        "billing_time": params.get("billing_time") or "calendar",
        "subscription_at": subscription_at,
        "started_at": None,
        "ending_at": moment(params, "ending_at"),
        "terminated_at": None,
        "canceled_at": None,
        "created_at": call.lago.now(),
        "previous_id": None,
        "on_termination_invoice": "generate",
        "billed_until": None,
        "status": "pending",
    }
    calendar = Schedule(plan["interval"], None, zone_of(call.store, call.organization, customer))
    if calendar.day(subscription_at) <= calendar.day(call.lago.now()):
        subscription |= {"status": "active", "started_at": _free_from(call, subscription)}
    return keep(call, subscription)


def _free_from(call: Call, subscription: Thing) -> int:
    """Return its start, or the later end of another of its external id that is billed: no time is billed twice."""
    earlier = call.store.things(call.organization, SUBSCRIPTION, subscription["external_id"])
    ends: list[int] = [one["terminated_at"] for one in earlier if one["status"] == "terminated" and one["billed_until"]]
    start: int = subscription["subscription_at"]
    return max([start, *ends])


def _change_plan(call: Call, params: Mapping[str, Any], current: Thing, plan: Thing) -> Thing:
    """Upgrade or downgrade; of a subscription that has yet to start only the plan changes."""
    if current["status"] == "pending":
        changed = {"plan_id": plan["lago_id"], "plan_code": plan["code"], "name": params.get("name") or current["name"]}
        return keep(call, current | changed)
    now = call.lago.now()
    if (following := following_of(call.store, call.organization, current)) and following["status"] == "pending":
        keep(call, following | {"status": "canceled", "canceled_at": now})
    successor = current | {
        "lago_id": new_id(),
        "name": params.get("name"),
        "plan_id": plan["lago_id"],
        "plan_code": plan["code"],
        "ending_at": moment(params, "ending_at") if "ending_at" in params else current["ending_at"],
        "created_at": now,
        "previous_id": current["lago_id"],
        "on_termination_invoice": "generate",
        "billed_until": None,
    }
    if yearly_amount(plan) < yearly_amount(call.store.thing(current["plan_id"])):
        keep(call, successor | {"status": "pending", "started_at": None})
        return current
    keep(call, current | {"status": "terminated", "terminated_at": now})
    return keep(call, successor | {"started_at": now})


def _of_status(call: Call, wanted: str | None = None) -> Thing:
    wanted = wanted or call.query.get("status", "active")
    if wanted not in _STATUSES:
        raise not_found(SUBSCRIPTION)
    for subscription in call.store.things(call.organization, SUBSCRIPTION, call.path["external_id"]):
        if subscription["status"] == wanted:
            return subscription
    raise not_found(SUBSCRIPTION)


def _check_ending(call: Call, params: Mapping[str, Any], subscription_at: int) -> None:
    ending_at = moment(params, "ending_at")
    if ending_at is None:
        return
    if ending_at // _DAY <= max(call.lago.now(), subscription_at) // _DAY:
        raise invalid({"ending_at": ["invalid_date"]})


def _check_at_termination(params: Mapping[str, Any]) -> None:
    if params.get("on_termination_invoice") not in {None, *_AT_TERMINATION}:
        raise invalid({"on_termination_invoice": ["invalid_value"]})
