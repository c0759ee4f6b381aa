"""Alerts on a subscription's usage: what is to be told at which thresholds. Nothing is ever told: that needs a licence.

An alert is of an external id, so it stays when a subscription ends and another follows.

Facts: `getlago/lago-api`, `app/controllers/api/v1/subscriptions/alerts_controller.rb`,
`app/services/usage_monitoring/create_alert_service.rb`, `update_alert_service.rb`, `alerts/create_batch_service.rb` and
`alerts/destroy_all_service.rb` there, `app/models/usage_monitoring/alert.rb`.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.responses import Response

from reconciler.sandbox.call import Call, paged
from reconciler.sandbox.grammar import UnstorableError, format_instant, is_float, parse_numeric, ruby_decimal
from reconciler.sandbox.refusals import RefusalError, invalid, not_found
from reconciler.sandbox.resources.catalog import METRIC, find, is_blank, mandatory, refuse, save, text
from reconciler.sandbox.resources.subscriptions import find_subscription
from reconciler.sandbox.stores.store import Thing, new_id

_ALERT = "alert"
_TEXTS = ("alert_type", "code", "name", "billable_metric_code")
_OF_A_METRIC = frozenset({"billable_metric_current_usage_amount", "billable_metric_current_usage_units"})
_TYPES = frozenset({"current_usage_amount"}) | _OF_A_METRIC
_LICENSED_TYPES = frozenset({"lifetime_usage_amount", "billable_metric_lifetime_usage_units"})
_MOST_THRESHOLDS = 20
_DECIMALS = 5
_FALSE = (None, "", False, 0, "0", "f", "F", "false", "FALSE", "off", "OFF")


def list_alerts(call: Call) -> dict[str, Any]:
    """GET /subscriptions/:external_id/alerts: the latest first."""
    return paged(call, "alerts", _alerts(call, _external_id(call)), lambda alert: _render(call, alert))


def show_alert(call: Call) -> dict[str, Any]:
    """GET /subscriptions/:external_id/alerts/:code."""
    return {_ALERT: _render(call, _alert(call))}


def create_alerts(call: Call) -> dict[str, Any]:
    """POST /subscriptions/:external_id/alerts: one `alert`, or several `alerts`, all of them or none."""
    external_id = _external_id(call)
    if sent := call.body.get("alerts"):
        return {"alerts": [_render(call, alert) for alert in _make_all(call, external_id, sent)]}
    return {_ALERT: _render(call, _make(call, external_id, _permitted(call.root(_ALERT))))}


def update_alert(call: Call) -> dict[str, Any]:
    """PUT /subscriptions/:external_id/alerts/:code: anything but its type; thresholds, if given, are all it has."""
    alert = _alert(call)
    params = _permitted(call.root(_ALERT))
    thresholds = params.get("thresholds")
    if thresholds:
        _check_thresholds(thresholds)
    changed = alert | {name: text(params, name) for name in ("code", "name") if name in params}
    if metric := _metric(call, params):
        changed["lago_billable_metric_id"] = metric["lago_id"]
    return {_ALERT: _render(call, _keep(call, changed, thresholds))}


def delete_alert(call: Call) -> dict[str, Any]:
    """DELETE /subscriptions/:external_id/alerts/:code: it is answered without its thresholds, which go first."""
    alert = _alert(call)
    with call.store.transaction():
        call.store.remove(alert)
    return {_ALERT: _render(call, alert | {"thresholds": []})}


def delete_alerts(call: Call) -> Response:
    """DELETE /subscriptions/:external_id/alerts: all of them, answered with nothing."""
    with call.store.transaction():
        for alert in _alerts(call, _external_id(call)):
            call.store.remove(alert)
    return Response()


def _external_id(call: Call) -> str:
    return str(find_subscription(call)["external_id"])


def _alerts(call: Call, external_id: str) -> list[Thing]:
    return call.store.things(call.organization, _ALERT, external_id)


def _alert(call: Call) -> Thing:
    for alert in _alerts(call, _external_id(call)):
        if alert["code"] == call.path["code"]:
            return alert
    raise not_found(_ALERT)


def _permitted(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return what Rails permits of an alert: texts and numbers, and the same of each threshold."""
    permitted = {name: params[name] for name in _TEXTS if name in params and _is_scalar(params[name])}
    thresholds = params.get("thresholds")
    if isinstance(thresholds, list):
        permitted["thresholds"] = [
            {name: one[name] for name in ("code", "value", "recurring") if name in one and _is_scalar(one[name])}
            for one in thresholds
            if isinstance(one, dict)
        ]
    return permitted


def _is_scalar(value: Any) -> bool:
    return not isinstance(value, dict | list)


def _make_all(call: Call, external_id: str, sent: Any) -> list[Thing]:
    """Make several alerts.

    Raises:
        RefusalError: 422 that says of each alert in the way what was sent and what is wrong with it.
    """
    alerts = [_permitted(one) for one in sent if isinstance(one, dict)] if isinstance(sent, list) else []
    refuse({} if alerts else {"alerts": ["no_alerts"]})
    made: list[Thing] = []
    errors: dict[str, Any] = {}
    with call.store.transaction():
        for position, params in enumerate(alerts):
            try:
                made.append(_make(call, external_id, params))
            except RefusalError as refusal:
                errors[str(position)] = {"params": params, "errors": _sentence(refusal)}
        if errors:
            raise invalid(errors)
    return made


def _sentence(refusal: RefusalError) -> str:
    body = refusal.body or {}
    if "error_details" not in body:
        return str(body["code"])
    return f"Validation errors: {msgspec.json.encode(body['error_details']).decode()}"


def _make(call: Call, external_id: str, params: Mapping[str, Any]) -> Thing:
    """Make an alert; the order of the checks is Lago's, and only the first that fails is told."""
    alert_type, thresholds = params.get("alert_type"), params.get("thresholds")
    if alert_type in _LICENSED_TYPES:
        raise invalid({"alert_type": ["feature_not_available"]})
    if is_blank(alert_type):
        raise invalid({"alert_type": ["value_is_mandatory", "value_is_invalid"]})
    if alert_type not in _TYPES:
        raise invalid({"alert_type": ["invalid_type"]})
    if not thresholds:
        raise invalid({"thresholds": ["value_is_mandatory"]})
    _check_thresholds(thresholds)
    metric = _metric(call, params)
    alert: Thing = {
        "lago_id": new_id(),
        "external_subscription_id": external_id,
        "lago_billable_metric_id": metric["lago_id"] if metric else None,
        "alert_type": alert_type,
        "code": text(params, "code"),
        "name": text(params, "name"),
        "created_at": format_instant(call.lago.now()),
    }
    return _keep(call, alert, thresholds)


def _check_thresholds(thresholds: list[dict[str, Any]]) -> None:
    if len(thresholds) > _MOST_THRESHOLDS:
        raise invalid({"thresholds": ["too_many_thresholds"]})
    values = [one.get("value") for one in thresholds]
    if len({(repr(one.get("value")), _is_true(one.get("recurring"))) for one in thresholds}) < len(thresholds):
        raise invalid({"thresholds": ["duplicate_threshold_values"]})
    if None in values:
        raise invalid({"thresholds:value": ["value_is_mandatory"]})
    if not all(is_float(value) for value in values):
        raise invalid({"thresholds:value": ["value_is_invalid"]})
    if any(parse_numeric(one["value"], _DECIMALS) <= 0 for one in thresholds if _is_true(one.get("recurring"))):
        raise invalid({"thresholds:value": ["recurring_value_is_negative"]})


def _metric(call: Call, params: Mapping[str, Any]) -> Thing | None:
    code = text(params, "billable_metric_code")
    return None if code is None else find(call, METRIC, code)


def _keep(call: Call, alert: Thing, thresholds: list[dict[str, Any]] | None) -> Thing:
    """Save an alert that is complete and like no other of its subscription, with these thresholds if there are any."""
    errors = mandatory(alert, "code")
    if alert["alert_type"] in _OF_A_METRIC and not alert["lago_billable_metric_id"]:
        errors["billable_metric"] = ["value_is_mandatory"]
    if alert["alert_type"] not in _OF_A_METRIC and alert["lago_billable_metric_id"]:
        errors["billable_metric"] = ["value_must_be_blank"]
    refuse(errors)
    others = [one for one in _alerts(call, alert["external_subscription_id"]) if one["lago_id"] != alert["lago_id"]]
    subject = ("alert_type", "lago_billable_metric_id")
    if any(all(one[name] == alert[name] for name in subject) for one in others):
        raise invalid({"base": ["alert_already_exists"]})
    if any(one["code"] == alert["code"] for one in others):
        raise invalid({"code": ["value_already_exist"]})
    if thresholds:
        alert["thresholds"] = [_threshold(one) for one in thresholds]
        if sum(one["recurring"] for one in alert["thresholds"]) > 1:
            raise invalid({"base": ["alert_already_exists"]})  # Lago takes any clash in its database for that
    return save(call, _ALERT, alert["external_subscription_id"], alert)


def _threshold(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return a threshold as Lago keeps it.

    Raises:
        UnstorableError: `recurring` is null, which the column can't hold, unlike one that is left out.
    """
    recurring = params.get("recurring", False)
    if recurring in (None, ""):
        raise UnstorableError(recurring)
    return {
        "code": text(params, "code"),
        "value": ruby_decimal(parse_numeric(params["value"], _DECIMALS)),
        "recurring": _is_true(recurring),
    }


def _is_true(value: Any) -> bool:
    return value not in _FALSE


def _render(call: Call, alert: Thing) -> dict[str, Any]:
    metric = alert["lago_billable_metric_id"]
    return {
        "lago_id": alert["lago_id"],
        "lago_organization_id": call.organization,
        "subscription_external_id": alert["external_subscription_id"],
        "external_subscription_id": alert["external_subscription_id"],
        "lago_wallet_id": None,
        "wallet_code": None,
        "alert_type": alert["alert_type"],
        "code": alert["code"],
        "name": alert["name"],
        "direction": "increasing",
        "previous_value": "0.0",
        "last_processed_at": None,
        "thresholds": alert["thresholds"],
        "created_at": alert["created_at"],
        "billable_metric": call.store.thing(metric) if metric else None,
    }
