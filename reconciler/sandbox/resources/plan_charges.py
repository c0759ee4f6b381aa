"""The charges of a plan, and the filters of a charge, one by one rather than with their plan.

Unlike a changed plan a changed charge does not outdate drafts. Facts: `getlago/lago-api`,
`app/controllers/api/v1/plans/charges_controller.rb`, `plans/charges/filters_controller.rb` and their services.
"""

from typing import Any

from reconciler.sandbox.call import Call, paged
from reconciler.sandbox.refusals import invalid, not_found
from reconciler.sandbox.resources.catalog import PLAN, SUBSCRIPTION, find, save
from reconciler.sandbox.resources.charges import change_filter, make_charge, make_filter, render_charge, render_filter
from reconciler.sandbox.stores.store import Thing

CHARGE = "charge"
FILTER = "filter"
_FIXED_BY_SUBSCRIBERS = frozenset({"billable_metric_id", "charge_model", "code"})


def list_charges(call: Call) -> dict[str, Any]:
    """GET /plans/:code/charges: the latest first."""
    return paged(call, "charges", reversed(_plan(call)["charges"]), render_charge)


def show_charge(call: Call) -> dict[str, Any]:
    """GET /plans/:code/charges/:charge_code."""
    return {CHARGE: render_charge(charge_of(call, _plan(call)))}


def create_charge(call: Call) -> dict[str, Any]:
    """POST /plans/:code/charges."""
    plan = _plan(call)
    charge = make_charge(call, call.root(CHARGE), [one["code"] for one in plan["charges"]])
    _keep(call, plan, [*plan["charges"], charge])
    return {CHARGE: render_charge(charge)}


def update_charge(call: Call) -> dict[str, Any]:
    """PUT /plans/:code/charges/:charge_code: once somebody has subscribed, only name, properties and filters change."""
    plan = _plan(call)
    known, params = charge_of(call, plan), call.root(CHARGE)
    if any(one["plan_id"] == plan["lago_id"] for one in call.store.things(call.organization, SUBSCRIPTION)):
        params = {name: value for name, value in params.items() if name not in _FIXED_BY_SUBSCRIBERS}
    changed = make_charge(call, params, [], known)
    if code := params.get("code"):
        if any(one["code"] == code for one in plan["charges"] if one is not known):
            raise invalid({"code": ["value_already_exist"]})
        changed["code"] = code
    _replace(call, plan, changed)
    return {CHARGE: render_charge(changed)}


def delete_charge(call: Call) -> dict[str, Any]:
    """DELETE /plans/:code/charges/:charge_code."""
    plan = _plan(call)
    charge = charge_of(call, plan)
    _keep(call, plan, [one for one in plan["charges"] if one is not charge])
    return {CHARGE: render_charge(charge)}


def list_filters(call: Call) -> dict[str, Any]:
    """GET /plans/:code/charges/:charge_code/filters."""
    charge = charge_of(call, _plan(call))
    return paged(call, "filters", charge["filters"], lambda one: render_filter(charge, one))


def show_filter(call: Call) -> dict[str, Any]:
    """GET /plans/:code/charges/:charge_code/filters/:lago_id."""
    charge = charge_of(call, _plan(call))
    return {FILTER: render_filter(charge, filter_of(call, charge))}


def create_filter(call: Call) -> dict[str, Any]:
    """POST /plans/:code/charges/:charge_code/filters."""
    plan = _plan(call)
    charge = charge_of(call, plan)
    made = make_filter(call, charge, call.root(FILTER))
    _keep_filters(call, plan, charge, [*charge["filters"], made])
    return {FILTER: render_filter(charge, made)}


def update_filter(call: Call) -> dict[str, Any]:
    """PUT /plans/:code/charges/:charge_code/filters/:lago_id: its name and properties."""
    plan = _plan(call)
    charge = charge_of(call, plan)
    known = filter_of(call, charge)
    changed = change_filter(call, charge, known, call.root(FILTER))
    _keep_filters(call, plan, charge, [changed if one is known else one for one in charge["filters"]])
    return {FILTER: render_filter(charge, changed)}


def delete_filter(call: Call) -> dict[str, Any]:
    """DELETE /plans/:code/charges/:charge_code/filters/:lago_id."""
    plan = _plan(call)
    charge = charge_of(call, plan)
    known = filter_of(call, charge)
    _keep_filters(call, plan, charge, [one for one in charge["filters"] if one is not known])
    return {FILTER: render_filter(charge, known)}


# -- also for the charges of subscriptions


def charge_of(call: Call, plan: Thing) -> Thing:
    """Return the charge of a plan that the path names.

    Raises:
        RefusalError: 404, there is none.
    """
    for charge in plan["charges"]:
        if charge["code"] == call.path["charge_code"]:
            found: Thing = charge
            return found
    raise not_found(CHARGE)


def filter_of(call: Call, charge: Thing) -> Thing:
    """Return the filter of a charge that the path names.

    Raises:
        RefusalError: 404, there is none.
    """
    for one in charge["filters"]:
        if one["lago_id"] == call.path["lago_id"]:
            found: Thing = one
            return found
    raise not_found("charge_filter")


def _plan(call: Call) -> Thing:
    return find(call, PLAN, call.path["code"])


def _keep_filters(call: Call, plan: Thing, charge: Thing, filters: list[Thing]) -> None:
    """Save a charge with other filters; what falls into none of them may have changed with them."""
    _replace(call, plan, charge | {"filters": filters, "updated_at": call.lago.now()})


def _replace(call: Call, plan: Thing, changed: Thing) -> None:
    _keep(call, plan, [changed if one["lago_id"] == changed["lago_id"] else one for one in plan["charges"]])


def _keep(call: Call, plan: Thing, charges: list[Thing]) -> None:
    save(call, PLAN, plan["code"], plan | {"charges": charges})
