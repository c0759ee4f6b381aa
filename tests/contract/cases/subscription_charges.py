"""The charges of subscriptions, and their filters."""

from typing import Any

from tests.contract.case import UUID, Ask, AtLeast, Case
from tests.contract.cases.common import bad_request, error, get
from tests.contract.cases.metrics import metric
from tests.contract.cases.provisioning import CHARGE, FILTER, charge, plan, subscription

_CHARGES = "api app/controllers/api/v1/subscriptions/charges_controller.rb"
_FILTERS = "api app/controllers/api/v1/subscriptions/charges/filters_controller.rb"
_PATH = "subscriptions/$run/charges/$run-more"
_BEFORE = [
    metric(filters=[{"key": "model", "values": ["x"]}]),
    plan(charge(code="$run-more", filters=[FILTER])),
    subscription(),
]
_SHOWN = CHARGE | {"code": "$run-more", "filters": [AtLeast(FILTER | {"lago_id": UUID})]}
_NEEDS_A_LICENCE: dict[str, Any] = error(403, "Forbidden", "feature_unavailable")

CASES = [
    Case(
        "a subscription's charge is its plan's",
        get(_PATH),
        200,
        {"charge": AtLeast(_SHOWN)},
        before=_BEFORE,
        source=_CHARGES,
    ),
    Case(
        "a subscription's charges have pages",
        get("subscriptions/$run/charges"),
        200,
        {"charges": [AtLeast(_SHOWN)], "meta": AtLeast({"total_count": 1})},
        before=_BEFORE,
        source=_CHARGES,
    ),
    Case(
        "a subscription's filters are its plan's",
        get(f"{_PATH}/filters"),
        200,
        {"filters": [AtLeast(FILTER | {"lago_id": UUID})], "meta": AtLeast({"total_count": 1})},
        before=_BEFORE,
        source=_FILTERS,
    ),
    Case(
        "a subscription's charge of its own needs a licence",
        Ask("PUT", _PATH, json={"charge": {"properties": {"amount": "2"}}}),
        403,
        _NEEDS_A_LICENCE,
        before=_BEFORE,
        source="api app/services/subscriptions/update_or_override_charge_service.rb; not of a Lago with a licence",
    ),
    Case(
        "a subscription's filter of its own needs a licence",
        Ask("POST", f"{_PATH}/filters", json={"filter": FILTER}),
        403,
        _NEEDS_A_LICENCE,
        before=_BEFORE,
        source="api app/services/subscriptions/charge_filters/create_service.rb; not of a Lago with a licence",
    ),
    Case(
        "a body is asked for before the licence",
        Ask("PUT", _PATH, json={}),
        400,
        bad_request("charge"),
        before=_BEFORE,
        source=_CHARGES,
    ),
    Case(
        "an unknown charge of a subscription is not found",
        Ask("PUT", "subscriptions/$run/charges/$run-other", json={}),
        404,
        error(404, "Not Found", "charge_not_found"),
        before=_BEFORE,
        source=_CHARGES,
    ),
    Case(
        "an unknown filter of a subscription is not found",
        get(f"{_PATH}/filters/00000000-0000-0000-0000-000000000000"),
        404,
        error(404, "Not Found", "charge_filter_not_found"),
        before=_BEFORE,
        source=_FILTERS,
    ),
    Case(
        "charges of an unknown subscription are not found",
        get("subscriptions/$run/charges"),
        404,
        error(404, "Not Found", "subscription_not_found"),
        source="api app/controllers/api/v1/subscriptions/base_controller.rb",
    ),
]
