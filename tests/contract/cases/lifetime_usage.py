"""The lifetime usage of subscriptions."""

from typing import Any

from tests.contract.case import INSTANT, RECENT, UUID, Ask, AtLeast, Case
from tests.contract.cases.common import bad_request, error, get, invalid
from tests.contract.cases.provisioning import SUBSCRIBED

_CONTROLLER = "api app/controllers/api/v1/subscriptions/lifetime_usages_controller.rb"
_UPDATE = "api app/services/lifetime_usages/update_service.rb"
_PATH = "subscriptions/$run/lifetime_usage"
_NOT_FOUND = error(404, "Not Found", "subscription_not_found")


def _historical(cents: Any) -> Ask:
    return Ask("PUT", _PATH, json={"lifetime_usage": {"external_historical_usage_amount_cents": cents}})


CASES = [
    Case(
        "lifetime usage without a licence is nothing",
        get(_PATH),
        200,
        {
            "lifetime_usage": {
                "lago_id": UUID,
                "lago_subscription_id": "$subscription",
                "external_subscription_id": "$run",
                "external_historical_usage_amount_cents": 0,
                "invoiced_usage_amount_cents": 0,
                "current_usage_amount_cents": 0,
                "from_datetime": INSTANT,
                "to_datetime": RECENT,
            }
        },
        before=SUBSCRIBED,
        source="api app/serializers/v1/lifetime_usage_serializer.rb; not of a Lago with a licence",
    ),
    Case(
        "usage from before Lago is kept",
        _historical(1200),
        200,
        {"lifetime_usage": AtLeast({"external_historical_usage_amount_cents": 1200})},
        before=SUBSCRIBED,
        source=_UPDATE,
    ),
    Case(
        "usage from before Lago is not negative",
        _historical(-1),
        422,
        invalid({"historical_usage_amount_cents": ["value_is_out_of_range"]}),
        before=SUBSCRIBED,
        source="api app/models/lifetime_usage.rb",
    ),
    Case(
        "lifetime usage of an unknown subscription is not found",
        get(_PATH),
        404,
        _NOT_FOUND,
        source=_CONTROLLER,
        since="1.51",
    ),
    Case(
        "lifetime usage of an unknown subscription is not kept",
        _historical(1),
        404,
        _NOT_FOUND,
        source=_UPDATE,
        since="1.51",
    ),
    Case(
        "lifetime usage of an unknown subscription is not found before its root key is missed",
        Ask("PUT", _PATH, json={}),
        404,
        _NOT_FOUND,
        source="seen on lago-api v1.51",
        since="1.51",
    ),
    Case(
        "lifetime usage needs its root key",
        Ask("PUT", _PATH, json={}),
        400,
        bad_request("lifetime_usage"),
        before=SUBSCRIBED,
        source=_CONTROLLER,
    ),
]
