"""Alerts on the usage of subscriptions."""

from typing import Any

from tests.contract.case import RECENT, UUID, Ask, AtLeast, Case
from tests.contract.cases.common import bad_request, error, get, invalid, post
from tests.contract.cases.provisioning import SUBSCRIBED

_CONTROLLER = "api app/controllers/api/v1/subscriptions/alerts_controller.rb"
_CREATE = "api app/services/usage_monitoring/create_alert_service.rb"
_BATCH = "api app/services/usage_monitoring/alerts/create_batch_service.rb"
_PATH = "subscriptions/$run/alerts"
_UNITS = "billable_metric_current_usage_units"


def _alert(**fields: Any) -> dict[str, Any]:
    plain = {"alert_type": "current_usage_amount", "code": "spent", "thresholds": [{"value": 1000}]}
    return {name: value for name, value in (plain | fields).items() if value is not ...}


def _one(**fields: Any) -> Ask:
    return post(_PATH, {"alert": _alert(**fields)})


_OTHER = _alert(code="tokens", alert_type=_UNITS, billable_metric_code="$run")
_SHOWN = {
    "lago_id": UUID,
    "lago_organization_id": UUID,
    "external_subscription_id": "$run",
    "alert_type": "current_usage_amount",
    "code": "spent",
    "name": None,
    "direction": "increasing",
    "previous_value": "0.0",
    "last_processed_at": None,
    "thresholds": [{"code": None, "value": "1000.0", "recurring": False}],
    "created_at": RECENT,
    "billable_metric": None,
}
_REFUSED: dict[str, tuple[Ask, dict[str, Any]]] = {
    "an alert on lifetime usage needs a licence": (
        _one(alert_type="lifetime_usage_amount"),
        {"alert_type": ["feature_not_available"]},
    ),
    "an alert has a type": (_one(alert_type=...), {"alert_type": ["value_is_mandatory", "value_is_invalid"]}),
    "an alert has a known type": (_one(alert_type="other"), {"alert_type": ["invalid_type"]}),
    "an alert has a code": (_one(code=...), {"code": ["value_is_mandatory"]}),
    "an alert has thresholds": (_one(thresholds=[]), {"thresholds": ["value_is_mandatory"]}),
    "an alert has twenty thresholds at most": (
        _one(thresholds=[{"value": number} for number in range(21)]),
        {"thresholds": ["too_many_thresholds"]},
    ),
    "an alert's thresholds differ": (
        _one(thresholds=[{"value": 1}, {"value": 1}]),
        {"thresholds": ["duplicate_threshold_values"]},
    ),
    "a threshold has a value": (_one(thresholds=[{"code": "x"}]), {"thresholds:value": ["value_is_mandatory"]}),
    "a threshold is a number": (_one(thresholds=[{"value": "x"}]), {"thresholds:value": ["value_is_invalid"]}),
    "an alert on a metric names it": (_one(alert_type=_UNITS), {"billable_metric": ["value_is_mandatory"]}),
    "an alert on all usage names no metric": (
        _one(billable_metric_code="$run"),
        {"billable_metric": ["value_must_be_blank"]},
    ),
}

CASES = [
    Case("an alert is answered as kept", _one(), 200, {"alert": AtLeast(_SHOWN)}, before=SUBSCRIBED, source=_CREATE),
    Case(
        "alerts are listed",
        get(_PATH),
        200,
        {"alerts": [AtLeast(_SHOWN)], "meta": AtLeast({"total_count": 1})},
        before=[*SUBSCRIBED, _one()],
        source=_CONTROLLER,
    ),
    Case(
        "an alert is found by its code",
        get(f"{_PATH}/spent"),
        200,
        {"alert": AtLeast(_SHOWN)},
        before=[*SUBSCRIBED, _one()],
        source=_CONTROLLER,
    ),
    Case(
        "an alert is changed",
        Ask("PUT", f"{_PATH}/spent", json={"alert": {"name": "Spent", "thresholds": [{"value": "2.5"}]}}),
        200,
        {
            "alert": AtLeast(
                _SHOWN | {"name": "Spent", "thresholds": [{"code": None, "value": "2.5", "recurring": False}]}
            )
        },
        before=[*SUBSCRIBED, _one()],
        source="api app/services/usage_monitoring/update_alert_service.rb",
    ),
    Case(
        "a deleted alert is answered without thresholds",
        Ask("DELETE", f"{_PATH}/spent"),
        200,
        {"alert": AtLeast(_SHOWN | {"thresholds": []})},
        before=[*SUBSCRIBED, _one()],
        source="api app/services/usage_monitoring/destroy_alert_service.rb",
    ),
    Case(
        "alerts are deleted together",
        get(_PATH),
        200,
        AtLeast({"alerts": []}),
        before=[*SUBSCRIBED, _one(), Ask("DELETE", _PATH)],
        source="api app/services/usage_monitoring/alerts/destroy_all_service.rb",
    ),
    Case(
        "several alerts are made together",
        post(_PATH, {"alerts": [_alert(), _OTHER]}),
        200,
        AtLeast(
            {
                "alerts": [
                    AtLeast(_SHOWN),
                    AtLeast({"code": "tokens", "billable_metric": AtLeast({"code": "$run"})}),
                ]
            }
        ),
        before=SUBSCRIBED,
        source=_BATCH,
    ),
    Case(
        "of several alerts each that is in the way is told",
        post(_PATH, {"alerts": [_alert(), _alert(code="again")]}),
        422,
        invalid(
            {
                "1": {
                    "params": _alert(code="again"),
                    "errors": 'Validation errors: {"base":["alert_already_exists"]}',
                }
            }
        ),
        before=SUBSCRIBED,
        source=_BATCH,
    ),
    Case(
        "several alerts are made all or none",
        get(_PATH),
        200,
        AtLeast({"alerts": []}),
        before=[
            *SUBSCRIBED,
            Ask("POST", _PATH, json={"alerts": [_alert(), _alert(code="again")]}, status=422),
        ],
        source=_BATCH,
    ),
    Case(
        "no alerts are one that is missing",
        post(_PATH, {"alerts": []}),
        400,
        bad_request("alert"),
        before=SUBSCRIBED,
        source=_CONTROLLER,
    ),
    *(
        Case(name, ask, 422, invalid(details), before=SUBSCRIBED, source=_CREATE)
        for name, (ask, details) in _REFUSED.items()
    ),
    Case(
        "an alert's code is taken once",
        _one(alert_type=_UNITS, billable_metric_code="$run"),
        422,
        invalid({"code": ["value_already_exist"]}),
        before=[*SUBSCRIBED, _one()],
        source=_CREATE,
    ),
    Case(
        "an alert on an unknown metric is not found",
        _one(alert_type=_UNITS, billable_metric_code="$run-other"),
        404,
        error(404, "Not Found", "billable_metric_not_found"),
        before=SUBSCRIBED,
        source="api app/services/usage_monitoring/concerns/create_or_update_concern.rb",
    ),
    Case(
        "a threshold that recurs or not says which",
        _one(thresholds=[{"value": 1000, "recurring": None}]),
        500,
        {"status": 500, "error": "Internal Server Error"},
        before=SUBSCRIBED,
        source="inferred: api app/models/usage_monitoring/alert_threshold.rb has a column that is not null",
    ),
    Case(
        "an unknown alert is not found",
        get(f"{_PATH}/spent"),
        404,
        error(404, "Not Found", "alert_not_found"),
        before=SUBSCRIBED,
        source=_CONTROLLER,
    ),
    Case(
        "alerts of an unknown subscription are not found",
        get(_PATH),
        404,
        error(404, "Not Found", "subscription_not_found"),
        source="api app/controllers/api/v1/subscriptions/base_controller.rb",
    ),
]
