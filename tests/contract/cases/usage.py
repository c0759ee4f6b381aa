"""`GET /customers/:external_id/current_usage`: what counts, and what it costs."""

from collections.abc import Sequence
from typing import Any

from tests.contract.case import INSTANT, TEXT, UUID, AnyOrder, Ask, AtLeast, Case, PerStore, decimal
from tests.contract.cases.common import NOTHING, error, event, get, invalid, post, send
from tests.contract.cases.metrics import metric
from tests.contract.cases.provisioning import PRICED, SUBSCRIBED, charge, plan, subscription
from tests.contract.target import StoreName

PATTERN = "api app/services/events/stores/postgres_store.rb:508-517"
SERIALIZER = "api app/serializers/v1/customers/charge_usage_serializer.rb"
CURRENT = get("customers/$run/current_usage", {"external_subscription_id": "$run"})
FILTERS = "api app/models/usage_filters.rb; lago-api#5052 of February, #5392 of April, #5798 of June 2026"
FILTERS_SINCE = "1.51"
TWO_CHARGES = [
    metric(),
    plan(charge(code="$run-one")),
    post("plans/$run/charges", {"charge": charge(code="$run-two")}),
    subscription(),
]
NO_SUBSCRIPTION = error(405, "Method Not Allowed", "no_active_subscription")


def current(**query: str) -> Ask:
    """The request for usage, with more parameters."""
    return get(CURRENT.path, {**CURRENT.query, **query})


def cost(value: Any, transaction_id: str = "$run-1", **fields: Any) -> dict[str, Any]:
    properties = {"response_cost": value, "model": "a"}
    return event(transaction_id, **{"timestamp": "$now", "properties": properties} | fields)


def usage(**charge: Any) -> dict[str, Any]:
    """An answer with one charge, of which at least so much is known."""
    return {"customer_usage": AtLeast({"charges_usage": [AtLeast(charge)]})}


def counts(units: str, events: int = 1) -> dict[str, Any]:
    return usage(units=decimal(units), events_count=events)


def billed(
    name: str,
    expected: Any,
    *events: dict[str, Any],
    by: Sequence[Ask] = PRICED,
    source: str,
    only: StoreName | None = None,
    since: str | None = None,
) -> Case:
    """What the usage of these events is, by a plan of a dollar a unit or another one."""
    before = [*by, subscription(), send(*events)]
    return Case(name, CURRENT, 200, expected, before=before, source=source, only=only, since=since)


NOT_COUNTED = PerStore(counts("2", 1), counts("2", 2))
"""Postgres leaves out what is no plain number, ClickHouse counts it as 0; beside it is one event of 2."""

CASES = [
    Case(
        "usage has each charge, also without events",
        CURRENT,
        200,
        {
            "customer_usage": AtLeast(
                {
                    "from_datetime": INSTANT,
                    "to_datetime": INSTANT,
                    "issuing_date": TEXT,
                    "currency": "USD",
                    "amount_cents": 0,
                    "total_amount_cents": 0,
                    "taxes_amount_cents": 0,
                    "lago_invoice_id": None,
                    "charges_usage": [
                        AtLeast(
                            {
                                "units": "0.0",
                                "events_count": 0,
                                "amount_cents": 0,
                                "amount_currency": "USD",
                                "charge": AtLeast({"lago_id": UUID, "charge_model": "standard"}),
                                "billable_metric": {
                                    "lago_id": "$billable_metric",
                                    "name": "Cost",
                                    "code": "$run",
                                    "aggregation_type": "sum_agg",
                                },
                                "filters": [],
                                "grouped_usage": [],
                            }
                        )
                    ],
                }
            )
        },
        before=SUBSCRIBED,
        source="api spec/scenarios/current_usage/zero_fees_spec.rb",
    ),
    *(
        billed(f"a sum counts {value!r} as {units}", counts(units), cost(value), source=PATTERN)
        for value, units in {"007.50": "7.5", 1.5: "1.5", "0.00000035": "0.00000035", 7: "7"}.items()
    ),
    billed(
        "a sum below zero is none, and its event counts",
        usage(units="0.0", events_count=1, amount_cents=0),
        cost("-5"),
        source="api app/services/fees/charge_service.rb:276",
    ),
    billed("a negative number counts against others", counts("2", 2), cost("7"), cost("-5", "$run-2"), source=PATTERN),
    billed(
        "a small number of JSON counts, for Postgres writes it plainly",
        counts("0.00000035"),
        cost(3.5e-07),
        source=PATTERN,
        only="postgres",
    ),
    *(
        billed(f"a sum does not count {value!r}", NOT_COUNTED, cost(value), cost("2", "$run-2"), source=PATTERN)
        for value in ("1,000", "", "much", True, None, [1])
    ),
    *(
        billed(
            f"a sum on Postgres does not count {value!r}",
            counts("2", 1),
            cost(value),
            cost("2", "$run-2"),
            source=PATTERN,
            only="postgres",
        )
        for value in ("3.5e-07", "1e3", ".5", "5.", "+5", " 5", "5\n")
    ),
    billed(
        "an event without the property does not count",
        NOT_COUNTED,
        cost(0, properties={}),
        cost("2", "$run-2"),
        source=PATTERN,
    ),
    billed(
        "events of another code, subscription or period do not count",
        counts("2"),
        cost("10", "$run-1", code="$run-other"),
        cost("10", "$run-2", external_subscription_id="$run-other"),
        cost("10", "$run-3", timestamp="1710421740"),
        cost("2", "$run-4"),
        source="api app/services/events/stores/postgres_store.rb:6-23",
    ),
    Case(
        "an event sent before its subscription was made counts",
        CURRENT,
        200,
        counts("2"),
        before=[send(cost("2")), *SUBSCRIBED],
        source="api spec/scenarios/create_event_spec.rb",
        only="postgres",
    ),
    billed(
        "a standard charge costs its amount a unit, rounded to cents",
        usage(units=decimal("0.125"), amount_cents=13),
        cost("0.1"),
        cost("0.025", "$run-2"),
        source="api app/services/fees/charge_service.rb:295",
    ),
    billed(
        "pricing groups are charged one by one",
        usage(
            units=decimal("0.011"),
            events_count=3,
            amount_cents=1,
            grouped_usage=AnyOrder(
                [
                    AtLeast({"grouped_by": {"model": "x"}, "units": decimal("0.007"), "amount_cents": 1}),
                    AtLeast({"grouped_by": {"model": "y"}, "units": decimal("0.004"), "amount_cents": 0}),
                ]
            ),
        ),
        cost("0.004", "$run-1", properties={"response_cost": "0.004", "model": "x"}),
        cost("0.003", "$run-2", properties={"response_cost": "0.003", "model": "x"}),
        cost("0.004", "$run-3", properties={"response_cost": "0.004", "model": "y"}),
        by=[metric(), plan(charge(properties={"amount": "1", "pricing_group_keys": ["model"]}))],
        source=f"{SERIALIZER}; api app/services/fees/charge_service.rb:295; lago-api#3790 of June 2025",
        since="1.31",
    ),
    billed(
        "filters are priced one by one, and so is what matches none",
        usage(
            units=decimal("4"),
            amount_cents=500,
            filters=[
                AtLeast({"values": {"model": ["x"]}, "units": decimal("1"), "events_count": 1, "amount_cents": 200}),
                AtLeast({"values": None, "units": decimal("3"), "events_count": 1, "amount_cents": 300}),
            ],
        ),
        cost("1", "$run-1", properties={"response_cost": "1", "model": "x"}),
        cost("3", "$run-2", properties={"response_cost": "3", "model": "z"}),
        by=[
            metric(filters=[{"key": "model", "values": ["x", "y"]}]),
            plan(charge(filters=[{"values": {"model": ["x"]}, "properties": {"amount": "2"}}])),
        ],
        source=SERIALIZER,
    ),
    billed(
        "a package charge costs each package that is begun after the free units",
        usage(units=decimal("21"), amount_cents=200),
        cost("21"),
        by=[
            metric(),
            plan(charge(charge_model="package", properties={"amount": "1", "free_units": 1, "package_size": 10})),
        ],
        source="api app/services/charge_models/package_service.rb",
    ),
    billed(
        "a percentage charge costs a share",
        usage(units=decimal("20"), amount_cents=100),
        cost("20"),
        by=[metric(), plan(charge(charge_model="percentage", properties={"rate": "5"}))],
        source="api app/services/charge_models/percentage_service.rb",
    ),
    billed(
        "a dynamic charge costs what its events say",
        usage(units=decimal("5"), amount_cents=13),
        cost("2", "$run-1", precise_total_amount_cents="5.25"),
        cost("3", "$run-2", precise_total_amount_cents="7.5"),
        by=[metric(), plan(charge(charge_model="dynamic", properties={}))],
        source="api app/services/charge_models/dynamic_service.rb:7-13",
    ),
    Case(
        "events of a terminated subscription are taken",
        send(cost("1", "$run-1"), cost("1", "$run-2", timestamp="1710421740")),
        200,
        AtLeast({}),
        before=[*SUBSCRIBED, Ask("DELETE", "subscriptions/$run")],
        source="api spec/scenarios/create_event_spec.rb",
    ),
    Case(
        "past usage needs a subscription",
        get("customers/$run/past_usage"),
        422,
        invalid({"external_subscription_id": ["value_is_mandatory"]}),
        before=SUBSCRIBED,
        source="api app/queries/past_usage_query.rb",
    ),
    Case(
        "without a bill there is no past usage",
        get("customers/$run/past_usage", {"external_subscription_id": "$run"}),
        200,
        {"usage_periods": [], "meta": NOTHING},
        before=SUBSCRIBED,
        source="api app/queries/past_usage_query.rb",
    ),
    Case(
        "projected usage needs a licence",
        get("customers/$run/projected_usage", {"external_subscription_id": "$run"}),
        403,
        AtLeast({"code": "projected_usage_not_enabled"}),
        before=SUBSCRIBED,
        source="api app/controllers/api/v1/customers/projected_usage_controller.rb; not of a Lago with a licence",
        since="1.38",
    ),
    Case(
        "usage is had of one metric",
        current(billable_metric_code="$run"),
        200,
        counts("2"),
        before=[*SUBSCRIBED, send(cost("2"))],
        source=FILTERS,
        since=FILTERS_SINCE,
    ),
    *(
        Case(
            f"usage is had of one charge by {name}",
            current(**{name: value}),
            200,
            usage(charge=AtLeast({"lago_id": "$charge", "code": "$run-two"}), units=decimal("2")),
            before=[*TWO_CHARGES, send(cost("2"))],
            source=FILTERS,
            since=FILTERS_SINCE,
        )
        for name, value in {
            "charge_code": "$run-two",
            "charge_id": "$charge",
            "filter_by_charge_code": "$run-two",
            "filter_by_charge_id": "$charge",
        }.items()
    ),
    *(
        Case(
            f"usage of {what} is not found",
            current(**query),
            404,
            error(404, "Not Found", "charge_not_found"),
            before=SUBSCRIBED,
            source="api app/services/invoices/customer_usage_service.rb",
            since=FILTERS_SINCE,
        )
        for what, query in {
            "a metric that has no charge": {"billable_metric_code": "$run-none"},
            "a charge of unknown code": {"charge_code": "$run-none"},
            "a charge of unknown id": {"charge_id": "00000000-0000-0000-0000-000000000000"},
        }.items()
    ),
    *(
        Case(
            f"of what usage is asked for, {first}",
            current(**query),
            200,
            usage(charge=AtLeast({"code": "$run-two"})),
            before=TWO_CHARGES,
            source="api app/services/invoices/customer_usage_service.rb",
            since=FILTERS_SINCE,
        )
        for first, query in {
            "a charge's id goes before its code": {"charge_id": "$charge", "charge_code": "$run-one"},
            "a charge's code goes before its metric": {"charge_code": "$run-two", "billable_metric_code": "$run-none"},
        }.items()
    ),
    Case(
        "usage without taxes comes to its charges' amounts",
        current(apply_taxes="false"),
        200,
        {"customer_usage": AtLeast({"amount_cents": 200, "taxes_amount_cents": 0, "total_amount_cents": 200})},
        before=[*SUBSCRIBED, send(cost("2"))],
        source="api spec/requests/api/v1/customers/usage_controller_spec.rb",
    ),
    *(
        Case(
            f"full usage {what} needs a licence",
            current(full_usage="true", **query),
            405,
            error(405, "Method Not Allowed", "full_usage_not_allowed"),
            before=TWO_CHARGES,
            source="api app/services/invoices/customer_usage_service.rb; not of a Lago with a licence",
            since=FILTERS_SINCE,
        )
        for what, query in {
            "of everything": {},
            "of one charge": {"charge_code": "$run-two"},
            "of one group": {"group[model]": "a"},
        }.items()
    ),
    Case(
        "usage of an unknown customer is not found",
        CURRENT,
        404,
        error(404, "Not Found", "resource_not_found"),
        source="seen on lago-api v1.51",
        since="1.51",
    ),
    *(
        Case(name, CURRENT, 405, NO_SUBSCRIPTION, before=before, source="api usage_controller.rb")
        for name, before in {
            "usage of an unknown subscription is not allowed": [*PRICED, subscription("$run-other")],
            "usage of a terminated subscription is not allowed": [*SUBSCRIBED, Ask("DELETE", "subscriptions/$run")],
        }.items()
    ),
]
