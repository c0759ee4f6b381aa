"""What an event would cost at once: nothing can, as no charge is paid in advance, and Lago says so.

Before that an event is checked as none is that is sent to be kept: for its subscription, its metric and its number.

Facts: `getlago/lago-api`, `app/services/fees/estimate_pay_in_advance_service.rb`,
`app/services/events/validate_creation_service.rb`.
"""

from collections.abc import Mapping
from typing import Any

from reconciler.sandbox.call import Call
from reconciler.sandbox.grammar import SECOND, is_float
from reconciler.sandbox.refusals import crashed, invalid, not_found
from reconciler.sandbox.resources.catalog import METRIC, SUBSCRIPTION, find, is_blank, text
from reconciler.sandbox.resources.events import InvalidEventError, evaluated, expressions_of, read_event

_OF_NUMBERS = frozenset({"sum_agg", "max_agg", "latest_agg"})


def estimate_fees(call: Call) -> None:
    """POST /events/estimate_fees."""
    params = call.root("event")
    _check_subscription(call, text(params, "external_subscription_id") or "")
    timestamp = params.get("timestamp")
    if not is_blank(timestamp) and not _is_number(timestamp):
        raise invalid({"timestamp": ["invalid_format"]})
    metric = find(call, METRIC, text(params, "code") or "")
    _check_number(metric, params)
    try:
        evaluated(read_event(call, params | {"timestamp": None}), expressions_of(call))
    except InvalidEventError as error:
        raise invalid(error.details) from None
    raise invalid({"code": ["does_not_match_an_instant_charge"]})


def _check_subscription(call: Call, external_id: str) -> None:
    """Refuse an event of no subscription that lives now, to the second."""
    now = call.lago.now()
    for one in call.store.things(call.organization, SUBSCRIPTION, external_id):
        started_at, terminated_at = one["started_at"], one["terminated_at"]
        if started_at is None or started_at // SECOND * SECOND > now:
            continue
        if terminated_at is None or terminated_at // SECOND * SECOND >= now:
            return
    raise not_found(SUBSCRIPTION)


def _check_number(metric: Mapping[str, Any], params: Mapping[str, Any]) -> None:
    properties = params.get("properties")
    if metric["aggregation_type"] in _OF_NUMBERS and isinstance(properties, dict):
        value = properties.get(metric["field_name"])
        if value is not None and not _is_number(value):
            raise invalid({"properties": ["value_is_not_valid_number"]})


def _is_number(value: Any) -> bool:
    """Tell whether a text is a number; of all that is neither, Ruby's `Float()` makes an error that nobody expects."""
    if isinstance(value, bool | dict | list):
        raise crashed()
    return is_float(value)
