"""Plans, customers and subscriptions, as far as billing needs them."""

from typing import Any

from tests.contract.case import INSTANT, RECENT, UUID, WHOLE, Ask, AtLeast, Case
from tests.contract.cases.common import LOCALE, error, get, invalid, post
from tests.contract.cases.metrics import metric


def charge(**fields: Any) -> dict[str, Any]:
    plain = {"billable_metric_id": "$billable_metric", "charge_model": "standard", "properties": {"amount": "1"}}
    return plain | fields


def plan(*charges: dict[str, Any], code: str = "$run", **fields: Any) -> Ask:
    plain = {
        "name": "Pay as you go",
        "code": code,
        "interval": "monthly",
        "amount_cents": 0,
        "amount_currency": "USD",
        "pay_in_advance": False,
        "charges": list(charges),
    }
    return post("plans", {"plan": {name: value for name, value in (plain | fields).items() if value is not ...}})


def customer(external_id: str = "$run", **fields: Any) -> Ask:
    return post("customers", {"customer": {"external_id": external_id, "currency": "USD"} | fields})


def subscription(external_id: str = "$run", customer: str = "$run", **fields: Any) -> Ask:
    plain = {"external_customer_id": customer, "plan_code": "$run", "external_id": external_id}
    return post("subscriptions", {"subscription": plain | {"subscription_at": "$month"} | fields})


PLAN = {
    "lago_id": UUID,
    "name": "Pay as you go",
    "code": "$run",
    "interval": "monthly",
    "amount_cents": 0,
    "amount_currency": "USD",
    "pay_in_advance": False,
    "created_at": RECENT,
}
SUBSCRIPTION = {
    "lago_id": UUID,
    "external_id": "$run",
    "lago_customer_id": UUID,
    "external_customer_id": "$run",
    "plan_code": "$run",
    "status": "active",
    "billing_time": "calendar",
    "started_at": INSTANT,
    "terminated_at": None,
    "canceled_at": None,
    "current_billing_period_started_at": INSTANT,
    "current_billing_period_ending_at": INSTANT,
}
CHARGE = {
    "lago_id": UUID,
    "lago_billable_metric_id": "$billable_metric",
    "billable_metric_code": "$run",
    "charge_model": "standard",
    "properties": AtLeast({"amount": "1"}),
    "filters": [],
}
FILTER = {"values": {"model": ["x"]}, "properties": {"amount": "2"}}
PRICED = [metric(), plan(charge())]
SUBSCRIBED = [*PRICED, subscription()]
_CHARGES, _FILTERS = "lago-api#4785 of December 2025", "lago-api#4806 of January 2026"

CASES = [
    Case(
        "a plan is answered with its charges",
        plan(charge()),
        200,
        {
            "plan": AtLeast(
                PLAN
                | {
                    "charges": [
                        AtLeast(
                            {
                                "lago_id": UUID,
                                "lago_billable_metric_id": "$billable_metric",
                                "billable_metric_code": "$run",
                                "charge_model": "standard",
                                "pay_in_advance": False,
                                "invoiceable": True,
                                "properties": AtLeast({"amount": "1"}),
                                "filters": [],
                            }
                        )
                    ]
                }
            )
        },
        before=[metric()],
        source="oa PlanObject",
    ),
    Case(
        "a plan is found by its code",
        get("plans/$run"),
        200,
        {"plan": AtLeast(PLAN)},
        before=PRICED,
        source="oa PlanObject",
    ),
    Case(
        "a plan's code is taken once",
        plan(),
        422,
        invalid({"code": ["value_already_exist"]}),
        before=[plan()],
        source=LOCALE,
    ),
    Case(
        "a charge names its metric by a lago_id that is known",
        plan(charge(billable_metric_id="00000000-0000-0000-0000-000000000000")),
        404,
        error(404, "Not Found", "billable_metrics_not_found"),
        source="api app/services/plans/create_service.rb; seen on lago-api v1.51",
        since="1.51",
    ),
    Case(
        "an amount is a decimal in text",
        plan(charge(properties={"amount": "much"})),
        422,
        AtLeast({"code": "validation_errors"}),
        before=[metric()],
        source="api validators/decimal_amount_service.rb",
    ),
    Case(
        "an unknown plan is not found",
        get("plans/$run"),
        404,
        error(404, "Not Found", "plan_not_found"),
        source="api api_errors.rb",
    ),
    Case(
        "a plan is changed",
        Ask("PUT", "plans/$run", json={"plan": {"name": "Other"}}),
        200,
        {"plan": AtLeast(PLAN | {"lago_id": "$plan", "name": "Other"})},
        before=PRICED,
        source="oa PUT /plans/{code}",
    ),
    Case(
        "a filter of a charge names values that the metric declares",
        plan(charge(filters=[{"values": {"model": ["z"]}, "properties": {"amount": "2"}}])),
        422,
        AtLeast({"code": "validation_errors"}),
        before=[metric(filters=[{"key": "model", "values": ["x"]}])],
        source="api app/models/charge_filter_value.rb",
    ),
    Case(
        "a charge is added to a plan",
        post("plans/$run/charges", {"charge": charge(code="$run-more")}),
        200,
        {"charge": AtLeast(CHARGE | {"code": "$run-more"})},
        before=[metric(), plan()],
        source=f"api app/controllers/api/v1/plans/charges_controller.rb; {_CHARGES}",
        since="1.40",
    ),
    Case(
        "a charge is found by its code",
        get("plans/$run/charges/$run-more"),
        200,
        {"charge": AtLeast(CHARGE | {"code": "$run-more"})},
        before=[metric(), plan(charge(code="$run-more"))],
        source=f"api app/controllers/api/v1/plans/charges_controller.rb; {_CHARGES}",
        since="1.40",
    ),
    Case(
        "an unknown charge is not found",
        get("plans/$run/charges/$run-other"),
        404,
        error(404, "Not Found", "charge_not_found"),
        before=PRICED,
        source=f"api app/controllers/api/v1/plans/charges_controller.rb; {_CHARGES}",
        since="1.40",
    ),
    Case(
        "a deleted charge is gone",
        get("plans/$run/charges"),
        200,
        AtLeast({"charges": []}),
        before=[metric(), plan(charge(code="$run-more")), Ask("DELETE", "plans/$run/charges/$run-more")],
        source=f"api app/services/charges/destroy_service.rb; {_CHARGES}",
        since="1.40",
    ),
    Case(
        "a filter is added to a charge",
        post("plans/$run/charges/$run-more/filters", {"filter": FILTER}),
        200,
        {"filter": AtLeast(FILTER | {"lago_id": UUID, "charge_code": "$run-more"})},
        before=[metric(filters=[{"key": "model", "values": ["x"]}]), plan(charge(code="$run-more"))],
        source=f"api app/serializers/v1/charge_filter_serializer.rb; {_FILTERS}",
        since="1.40",
    ),
    Case(
        "a filter needs values",
        post("plans/$run/charges/$run-more/filters", {"filter": {"properties": {"amount": "2"}}}),
        422,
        invalid({"values": ["value_is_mandatory"]}),
        before=[metric(), plan(charge(code="$run-more"))],
        source=f"api app/services/charge_filters/create_service.rb; {_FILTERS}",
        since="1.40",
    ),
    Case(
        "an unknown filter is not found",
        get("plans/$run/charges/$run-more/filters/00000000-0000-0000-0000-000000000000"),
        404,
        error(404, "Not Found", "charge_filter_not_found"),
        before=[metric(), plan(charge(code="$run-more"))],
        source=f"api app/controllers/api/v1/plans/charges/filters_controller.rb; {_FILTERS}",
        since="1.40",
    ),
    Case(
        "a customer is answered as stored",
        customer(name="Acme"),
        200,
        {"customer": AtLeast({"lago_id": UUID, "external_id": "$run", "name": "Acme", "currency": "USD"})},
        source="oa CustomerObject",
    ),
    Case(
        "a customer posted again is changed",
        customer(name="Acme & Co."),
        200,
        {"customer": AtLeast({"lago_id": "$customer", "name": "Acme & Co."})},
        before=[customer(name="Acme")],
        source="api app/services/customers/upsert_from_api_service.rb",
    ),
    Case(
        "a customer is found by its external id",
        get("customers/$run"),
        200,
        {"customer": AtLeast({"lago_id": "$customer", "external_id": "$run"})},
        before=[customer()],
        source="oa CustomerObject",
    ),
    Case(
        "an unknown customer is not found",
        get("customers/$run"),
        404,
        error(404, "Not Found", "customer_not_found"),
        source="api api_errors.rb",
    ),
    Case(
        "a subscription makes its customer and is active",
        subscription(),
        200,
        {"subscription": AtLeast(SUBSCRIPTION)},
        before=PRICED,
        source="api app/services/subscriptions/create_service.rb",
    ),
    Case(
        "the same subscription once more is the same",
        subscription(),
        200,
        {"subscription": AtLeast(SUBSCRIPTION | {"lago_id": "$subscription"})},
        before=SUBSCRIBED,
        source="api app/services/subscriptions/create_service.rb:60-90",
    ),
    Case(
        "an external id belongs to one customer",
        subscription(customer="$run-other"),
        422,
        invalid({"external_id": ["value_already_exist"]}),
        before=SUBSCRIBED,
        source="api app/services/subscriptions/create_service.rb:60-90",
    ),
    Case(
        "a subscription to an unknown plan is not found",
        subscription(),
        404,
        error(404, "Not Found", "plan_not_found"),
        source="api app/services/subscriptions/create_service.rb",
    ),
    Case(
        "a subscription is found by its external id",
        get("subscriptions/$run"),
        200,
        {"subscription": AtLeast(SUBSCRIPTION)},
        before=SUBSCRIBED,
        source="oa SubscriptionObject",
    ),
    Case(
        "a charge keeps its pricing group, whose values no metric declares",
        plan(charge(properties={"amount": "1.2", "pricing_group_keys": ["model"]})),
        200,
        {
            "plan": AtLeast(
                {"charges": [AtLeast({"properties": AtLeast({"amount": "1.2", "pricing_group_keys": ["model"]})})]}
            )
        },
        before=[metric()],
        source="api app/services/charges/filter_charge_model_properties_service.rb",
        since="1.40",
    ),
    Case(
        "an amount may be as small as the price of a token",
        plan(charge(properties={"amount": "0.0000000375"})),
        200,
        {"plan": AtLeast({"charges": [AtLeast({"properties": AtLeast({"amount": "0.0000000375"})})]})},
        before=[metric()],
        source="api validators/decimal_amount_service.rb",
    ),
    Case(
        "subscriptions of several states are listed together",
        Ask("GET", "subscriptions?status[]=active&status[]=pending&status[]=terminated&external_customer_id=$run"),
        200,
        AtLeast({"subscriptions": [AtLeast({"external_id": "$run", "status": "terminated"})]}),
        before=[*SUBSCRIBED, Ask("DELETE", "subscriptions/$run")],
        source="api app/queries/subscriptions_query.rb",
    ),
    Case(
        "a subscription dated back has begun then, with its period",
        subscription(billing_time="calendar"),
        200,
        {"subscription": AtLeast(SUBSCRIPTION | {"billing_time": "calendar", "plan_amount_currency": "USD"})},
        before=[*PRICED, customer()],
        source="api app/services/subscriptions/create_service.rb:182-183; oa SubscriptionObject",
    ),
    Case(
        "a terminated subscription is answered with its end",
        Ask("DELETE", "subscriptions/$run"),
        200,
        {"subscription": AtLeast({"status": "terminated", "terminated_at": RECENT})},
        before=SUBSCRIBED,
        source="api app/services/subscriptions/terminate_service.rb",
    ),
    Case(
        "a terminated subscription is not found among the active",
        get("subscriptions/$run"),
        404,
        error(404, "Not Found", "subscription_not_found"),
        before=[*SUBSCRIBED, Ask("DELETE", "subscriptions/$run")],
        source="api app/controllers/api/v1/subscriptions_controller.rb",
    ),
    *(
        Case(
            f"the list of {name} has pages",
            get(name, {"per_page": "1"}),
            200,
            AtLeast({"meta": AtLeast({"current_page": 1, "total_count": WHOLE})}),
            before=SUBSCRIBED,
            source="api app/controllers/concerns/pagination.rb:11-36",
        )
        for name in ("billable_metrics", "plans", "customers", "subscriptions")
    ),
]
