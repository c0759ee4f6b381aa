"""Estimates of the fees of an event, where no charge is paid in advance."""

from typing import Any

from tests.contract.case import Ask, Case
from tests.contract.cases.common import bad_request, error, invalid, post
from tests.contract.cases.provisioning import SUBSCRIBED

_SERVICE = "api app/services/fees/estimate_pay_in_advance_service.rb"
_CHECKS = "api app/services/events/validate_creation_service.rb"


def _estimate(**fields: Any) -> Ask:
    plain = {"code": "$run", "external_subscription_id": "$run", "properties": {"response_cost": "1"}}
    return post("events/estimate_fees", {"event": plain | fields})


CASES = [
    Case(
        "an event of no charge in advance costs nothing that could be estimated",
        _estimate(),
        422,
        invalid({"code": ["does_not_match_an_instant_charge"]}),
        before=SUBSCRIBED,
        source=_SERVICE,
    ),
    Case(
        "an estimate needs a subscription",
        _estimate(),
        404,
        error(404, "Not Found", "subscription_not_found"),
        source=_CHECKS,
    ),
    Case(
        "an estimate needs a metric",
        _estimate(code="$run-other"),
        404,
        error(404, "Not Found", "billable_metric_not_found"),
        before=SUBSCRIBED,
        source=_CHECKS,
    ),
    Case(
        "an estimate needs a number",
        _estimate(properties={"response_cost": "much"}),
        422,
        invalid({"properties": ["value_is_not_valid_number"]}),
        before=SUBSCRIBED,
        source=_CHECKS,
    ),
    Case(
        "an estimate needs a timestamp in seconds",
        _estimate(timestamp="2024-03-14T13:09:00Z"),
        422,
        invalid({"timestamp": ["invalid_format"]}),
        before=SUBSCRIBED,
        source=_CHECKS,
    ),
    Case(
        "an estimate needs an event",
        post("events/estimate_fees", {}),
        400,
        bad_request("event"),
        source="api app/controllers/api/v1/events_controller.rb",
    ),
]
