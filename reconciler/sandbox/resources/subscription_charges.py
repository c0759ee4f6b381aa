"""The charges of a subscription, and their filters: those of its plan, since prices of its own need Lago's licence.

Lago looks for everything that a request names before it asks for the licence.

Facts: `getlago/lago-api`, `app/controllers/api/v1/subscriptions/charges_controller.rb`,
`subscriptions/charges/filters_controller.rb`, `app/services/subscriptions/update_or_override_charge_service.rb` and
`app/services/subscriptions/charge_filters/`.
"""

from typing import Any

from reconciler.sandbox.call import Call, paged
from reconciler.sandbox.resources.catalog import premium
from reconciler.sandbox.resources.charges import render_charge, render_filter
from reconciler.sandbox.resources.plan_charges import CHARGE, FILTER, charge_of, filter_of
from reconciler.sandbox.resources.subscriptions import find_subscription
from reconciler.sandbox.stores.store import Thing


def list_charges(call: Call) -> dict[str, Any]:
    """GET /subscriptions/:external_id/charges: the latest first."""
    return paged(call, "charges", reversed(_plan(call)["charges"]), render_charge)


def show_charge(call: Call) -> dict[str, Any]:
    """GET /subscriptions/:external_id/charges/:charge_code."""
    return {CHARGE: render_charge(_charge(call))}


def update_charge(call: Call) -> None:
    """PUT /subscriptions/:external_id/charges/:charge_code."""
    _charge(call)
    call.root(CHARGE)
    raise premium()


def list_filters(call: Call) -> dict[str, Any]:
    """GET /subscriptions/:external_id/charges/:charge_code/filters."""
    charge = _charge(call)
    return paged(call, "filters", charge["filters"], lambda one: render_filter(charge, one))


def show_filter(call: Call) -> dict[str, Any]:
    """GET /subscriptions/:external_id/charges/:charge_code/filters/:lago_id."""
    charge = _charge(call)
    return {FILTER: render_filter(charge, filter_of(call, charge))}


def create_filter(call: Call) -> None:
    """POST /subscriptions/:external_id/charges/:charge_code/filters."""
    _charge(call)
    call.root(FILTER)
    raise premium()


def update_filter(call: Call) -> None:
    """PUT /subscriptions/:external_id/charges/:charge_code/filters/:lago_id."""
    filter_of(call, _charge(call))
    call.root(FILTER)
    raise premium()


def delete_filter(call: Call) -> None:
    """DELETE /subscriptions/:external_id/charges/:charge_code/filters/:lago_id."""
    filter_of(call, _charge(call))
    raise premium()


def _plan(call: Call) -> Thing:
    return call.store.thing(find_subscription(call)["plan_id"])


def _charge(call: Call) -> Thing:
    return charge_of(call, _plan(call))
