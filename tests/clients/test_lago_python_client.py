"""Lago's own Python client against the stand-in: a test for each of its methods, or a reason why there is none."""

import inspect
import sys
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from typing import Any

import lago_python_client.models
import pytest
from lago_python_client.client import Client
from lago_python_client.exceptions import LagoApiError

from reconciler.sandbox import Sandbox

# Its models are pydantic's old ones, whose optional fields look mandatory to a type checker.
models: Any = lago_python_client.models

ELSEWHERE = "not of billing usage: the stand-in says so with a 501"
ADVANCE = "needs charges that are paid in advance, which the stand-in says it does not have"
KEYLESS = "the client sends no API key with it (1.55.0), so no Lago can answer"
REASONS = {
    "activity_logs": ELSEWHERE,
    "add_ons": ELSEWHERE,
    "api_logs": ELSEWHERE,
    "applied_coupons": ELSEWHERE,
    "billing_entities": ELSEWHERE,
    "coupons": ELSEWHERE,
    "credit_notes": ELSEWHERE,
    "customer_applied_coupons": ELSEWHERE,
    "customer_credit_notes": ELSEWHERE,
    "customer_invoices": ELSEWHERE,
    "customer_payment_methods": ELSEWHERE,
    "customer_payment_requests": ELSEWHERE,
    "customer_payments": ELSEWHERE,
    "customer_wallets": ELSEWHERE,
    "gross_revenues": ELSEWHERE,
    "invoice_collections": ELSEWHERE,
    "invoiced_usages": ELSEWHERE,
    "mrrs": ELSEWHERE,
    "order_forms": ELSEWHERE,
    "orders": ELSEWHERE,
    "overdue_balances": ELSEWHERE,
    "payment_receipts": ELSEWHERE,
    "payment_requests": ELSEWHERE,
    "payments": ELSEWHERE,
    "plan_fixed_charges": ELSEWHERE,
    "quote_versions": ELSEWHERE,
    "quotes": ELSEWHERE,
    "subscription_fixed_charges": ELSEWHERE,
    "taxes": ELSEWHERE,
    "wallet_transactions": ELSEWHERE,
    "wallets": ELSEWHERE,
    "webhook_endpoints": ELSEWHERE,
    "webhooks": ELSEWHERE,
    "customers.wallets": ELSEWHERE,
    "fees.destroy": ADVANCE,
    "fees.update": "payments are not of billing usage",
    "invoices.create": "one-off invoices are not of billing usage",
    "invoices.destroy": "one-off invoices are not of billing usage",
    "invoices.download": "a PDF",
    "invoices.lose_dispute": "payments are not of billing usage",
    "invoices.payment_url": "payments are not of billing usage",
    "invoices.preview": "needs a licence",
    "invoices.retry": "payments are not of billing usage",
    "invoices.retry_payment": "payments are not of billing usage",
    "invoices.update": "payments are not of billing usage",
    "invoices.void": "corrections of invoices are not of billing usage",
    "invoices.void_invoice": "corrections of invoices are not of billing usage",
}

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
START = "2026-11-01T00:00:00Z"
A_SECOND = timedelta(seconds=1)
"""Lago keeps usage by the second in which its charge last changed."""
OTHER_PRICE = models.ChargeFilter(values={"model": ["b"]}, properties={"amount": "3"})


def methods_of(client: Any) -> Iterator[str]:
    """Every method of every resource: `events.create`, …"""
    for name, value in sorted(vars(Client).items()):
        if isinstance(value, cached_property):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a resource may be called, too, which it warns of
                resource = getattr(client, name)()
            yield from (f"{name}.{method}" for method in dir(resource) if is_method(resource, method))
        elif is_method(client, name):
            yield name


def is_method(thing: Any, name: str) -> bool:
    return not name.startswith("_") and not name[0].isupper() and callable(getattr(thing, name))


def has_reason(method: str) -> bool:
    return method in REASONS or method.partition(".")[0] in REASONS


def test_every_method_has_a_test_or_a_reason(client: Any) -> None:
    here = vars(sys.modules[__name__])
    methods = list(methods_of(client))
    tested = {method for method in methods if f"test_{method.replace('.', '_')}" in here}
    assert {method for method in methods if method not in tested and not has_reason(method)} == set()
    assert {method for method in tested if has_reason(method)} == set()
    for method in tested:
        source = inspect.getsource(here[f"test_{method.replace('.', '_')}"])
        assert f"client.{method}(" in source, f"the test of {method} does not call it"
    assert {"events.create", "customers.past_usage", "subscriptions.destroy"} <= tested


def test_no_reason_outlives_its_method(client: Any) -> None:
    methods = set(methods_of(client))
    assert {reason for reason in REASONS if reason not in methods | {one.partition(".")[0] for one in methods}} == set()


@pytest.fixture(params=["postgres", "clickhouse"], scope="module")
def server(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    with Sandbox(store=request.param) as sandbox:
        yield sandbox


@pytest.fixture
def lago(server: Sandbox) -> Sandbox:
    """A stand-in of either store, on a day in November."""
    server.reset()
    server.set_clock(NOON)
    return server


@pytest.fixture
def client(lago: Sandbox, one_certificate: None) -> Any:
    return Client(api_key=lago.api_key, api_url=lago.url, max_retries=0)


def store_of(lago: Sandbox) -> str:
    return "postgres" if lago.events()[0]["lago_id"].count("-") == 4 else "clickhouse"


def event(transaction_id: str, cost: str = "2.5", model: str = "a") -> Any:
    return models.Event(
        transaction_id=transaction_id,
        external_subscription_id="sub",
        code="llm_cost",
        timestamp="1795435200.5",
        properties={"response_cost": cost, "model": model},
    )


def refusal(error: pytest.ExceptionInfo[LagoApiError]) -> tuple[int, str]:
    return error.value.status_code, error.value.response["code"]


def make_metric(client: Any, **fields: Any) -> Any:
    plain = {"name": "Cost", "code": "llm_cost", "aggregation_type": "sum_agg", "field_name": "response_cost"}
    return client.billable_metrics.create(models.BillableMetric(**plain | fields))


def make_plan(client: Any, **charge: Any) -> Any:
    """A plan of one charge for what `make_metric` makes."""
    metric = make_metric(client, filters=models.BillableMetricFilters(__root__=[{"key": "model", "values": ["b"]}]))
    plain = {"billable_metric_id": metric.lago_id, "charge_model": "standard", "properties": {"amount": "1"}}
    charges = models.Charges(__root__=[models.Charge(**plain | charge)])
    plan = models.Plan(
        name="LLM",
        code="llm",
        interval="monthly",
        amount_cents=0,
        amount_currency="USD",
        pay_in_advance=False,
        charges=charges,
    )
    return client.plans.create(plan)


def subscribe(client: Any, external_id: str = "sub") -> Any:
    subscription = models.Subscription(
        external_customer_id="acme", plan_code="llm", external_id=external_id, subscription_at=START
    )
    return client.subscriptions.create(subscription)


@pytest.fixture
def subscribed(client: Any) -> Any:
    make_plan(client)
    return subscribe(client)


@pytest.fixture
def invoiced(client: Any, subscribed: Any, lago: Sandbox) -> Any:
    """The draft of the invoice of November, in December; there are three days of grace."""
    grace = {"invoice_grace_period": 3}
    client.customers.create(models.Customer(external_id="acme", billing_configuration=grace))
    client.events.create(event("one"))
    lago.set_clock(datetime(2026, 12, 1, 2, tzinfo=UTC))
    [invoice] = client.invoices.find_all()["invoices"]
    return invoice


# -- events


def test_events_create(client: Any, lago: Sandbox) -> None:
    made = client.events.create(event("one"))
    assert (made.transaction_id, made.external_subscription_id, made.code) == ("one", "sub", "llm_cost")
    assert (made.timestamp, made.properties) == ("2026-11-23T12:00:00.500Z", {"response_cost": "2.5", "model": "a"})
    if store_of(lago) == "clickhouse":
        assert (made.lago_id, made.created_at) == (None, None)
        assert client.events.create(event("one")).transaction_id == "one"
    else:
        with pytest.raises(LagoApiError) as refused:
            client.events.create(event("one"))
        assert refusal(refused) == (422, "validation_errors")
        assert refused.value.response["error_details"] == {"transaction_id": ["value_already_exist"]}


def test_events_batch_create(client: Any, lago: Sandbox) -> None:
    client.events.batch_create(models.BatchEvent(events=[event("one"), event("two")]))
    assert sorted(one["transaction_id"] for one in lago.events()) == ["one", "two"]
    many = [event(str(number)) for number in range(101)]
    with pytest.raises(LagoApiError) as refused:
        client.events.batch_create(models.BatchEvent(events=many))
    assert refused.value.response["error_details"] == {"events": ["too_many_events"]}


def test_events_find(client: Any) -> None:
    client.events.create(event("one"))
    found = client.events.find("one")
    assert (found.transaction_id, found.timestamp) == ("one", "2026-11-23T12:00:00.500Z")
    with pytest.raises(LagoApiError) as refused:
        client.events.find("other")
    assert refusal(refused) == (404, "event_not_found")


def test_events_estimate_fees(client: Any, subscribed: Any) -> None:
    with pytest.raises(LagoApiError) as refused:
        client.events.estimate_fees(event("one"))
    assert refusal(refused) == (422, "validation_errors"), "as by a Lago without a charge that is paid in advance"
    assert refused.value.response["error_details"] == {"code": ["does_not_match_an_instant_charge"]}


def test_a_rate_limit_is_waited_out_as_told(lago: Sandbox, client: Any) -> None:
    lago.faults({"kind": "status", "status": 429, "headers": {"x-ratelimit-reset": "0"}})
    patient: Any = Client(api_key=lago.api_key, api_url=lago.url)
    assert patient.events.create(event("one")).transaction_id == "one"
    assert [one["status"] for one in lago.requests()] == [429, 200]


# -- billable metrics


def test_billable_metrics_create(client: Any) -> None:
    filters = models.BillableMetricFilters(__root__=[models.BillableMetricFilter(key="model", values=["a", "b"])])
    metric = {"name": "Cost", "code": "llm_cost", "aggregation_type": "sum_agg", "field_name": "response_cost"}
    made = client.billable_metrics.create(models.BillableMetric(**metric, filters=filters))
    assert {name: getattr(made, name) for name in metric} == metric
    assert made.filters == filters


def test_billable_metrics_find(client: Any) -> None:
    made = make_metric(client)
    assert client.billable_metrics.find("llm_cost") == made
    with pytest.raises(LagoApiError) as refused:
        client.billable_metrics.find("other")
    assert refusal(refused) == (404, "billable_metric_not_found")


def test_billable_metrics_find_all(client: Any) -> None:
    made = [make_metric(client, code=code) for code in ("one", "two", "three")]
    page = client.billable_metrics.find_all({"per_page": 2, "page": 2})
    assert page["billable_metrics"] == made[:1]
    assert page["meta"] == {"current_page": 2, "next_page": None, "prev_page": 1, "total_pages": 2, "total_count": 3}


def test_billable_metrics_update(client: Any) -> None:
    made = make_metric(client)
    changed = client.billable_metrics.update(models.BillableMetric(name="Cost in USD"), "llm_cost")
    assert (changed.lago_id, changed.name, changed.code) == (made.lago_id, "Cost in USD", "llm_cost")
    assert client.billable_metrics.find("llm_cost") == changed


def test_billable_metrics_destroy(client: Any) -> None:
    made = make_metric(client)
    assert client.billable_metrics.destroy("llm_cost").lago_id == made.lago_id
    assert client.billable_metrics.find_all()["billable_metrics"] == []
    assert make_metric(client).lago_id != made.lago_id


def test_billable_metrics_evaluate_expression(client: Any) -> None:
    question = models.BillableMetricEvaluateExpression(
        expression="event.properties.a + 1",
        event=models.BillableMetricEvaluateExpressionEvent(code="llm_cost", properties={"a": 1}),
    )
    with pytest.raises(LagoApiError) as refused:
        client.billable_metrics.evaluate_expression(question)
    assert refusal(refused) == (422, "validation_errors"), "the client (1.55.0) sends no body with it"
    assert refused.value.response["error_details"] == {"expression": ["value_is_mandatory"]}


# -- plans


def test_plans_create(client: Any) -> None:
    filters = models.ChargeFilters(__root__=[models.ChargeFilter(values={"model": ["b"]}, properties={"amount": "2"})])
    make_plan(client, filters=filters)
    plan = models.Plan(
        name="Other", code="other", interval="weekly", amount_cents=100, amount_currency="EUR", pay_in_advance=False
    )
    made = client.plans.create(plan)
    assert (made.code, made.interval, made.amount_cents, made.amount_currency) == ("other", "weekly", 100, "EUR")
    [charge] = client.plans.find("llm").charges.__root__
    assert (charge.billable_metric_code, charge.charge_model, charge.properties["amount"]) == (
        "llm_cost",
        "standard",
        "1",
    )
    assert [one.values for one in charge.filters.__root__] == [{"model": ["b"]}]


def test_plans_find(client: Any) -> None:
    made = make_plan(client)
    assert client.plans.find("llm").lago_id == made.lago_id
    with pytest.raises(LagoApiError) as refused:
        client.plans.find("other")
    assert refusal(refused) == (404, "plan_not_found")


def test_plans_find_all(client: Any) -> None:
    make_plan(client)
    page = client.plans.find_all()
    assert ([plan.code for plan in page["plans"]], page["meta"]["total_count"]) == (["llm"], 1)


def test_plans_update(client: Any) -> None:
    made = make_plan(client)
    changed = client.plans.update(models.Plan(name="LLM, new", metadata={"team": "a"}), "llm")
    assert (changed.lago_id, changed.name, len(changed.charges.__root__)) == (made.lago_id, "LLM, new", 1)
    assert changed.metadata == {"team": "a"}


def test_plans_destroy(client: Any) -> None:
    made = make_plan(client)
    assert client.plans.destroy("llm").lago_id == made.lago_id
    assert client.plans.find_all()["plans"] == []


def test_plans_replace_metadata(client: Any) -> None:
    make_plan(client)
    assert client.plans.replace_metadata("llm", {"team": "a", "tier": None}) == {"team": "a", "tier": None}
    assert client.plans.replace_metadata("llm", {"owner": "b"}) == {"owner": "b"}
    assert client.plans.find("llm").metadata == {"owner": "b"}
    with pytest.raises(LagoApiError) as refused:
        client.plans.replace_metadata("other", {"owner": "b"})
    assert refusal(refused) == (404, "plan_not_found")


def test_plans_merge_metadata(client: Any) -> None:
    make_plan(client)
    assert client.plans.merge_metadata("llm", {"team": "a", "tier": "1"}) == {"team": "a", "tier": "1"}
    assert client.plans.merge_metadata("llm", {"tier": "2"}) == {"team": "a", "tier": "2"}


def test_plans_delete_all_metadata(client: Any) -> None:
    make_plan(client)
    client.plans.replace_metadata("llm", {"team": "a"})
    assert client.plans.delete_all_metadata("llm") is None
    assert client.plans.find("llm").metadata is None


def test_plans_delete_metadata_key(client: Any) -> None:
    make_plan(client)
    with pytest.raises(LagoApiError) as refused:
        client.plans.delete_metadata_key("llm", "team")
    assert refusal(refused) == (404, "metadata_not_found")
    client.plans.replace_metadata("llm", {"team": "a", "tier": "1"})
    assert client.plans.delete_metadata_key("llm", "team") == {"tier": "1"}


# -- the charges of a plan, and their filters


def test_plan_charges_create(client: Any) -> None:
    metric = make_plan(client).charges.__root__[0].lago_billable_metric_id
    charge = models.Charge(billable_metric_id=metric, charge_model="standard", properties={"amount": "3"})
    made = client.plan_charges.create("llm", charge)
    assert (made.code, made.billable_metric_code, made.properties["amount"]) == ("llm_cost_2", "llm_cost", "3")
    assert [one.lago_id for one in client.plans.find("llm").charges.__root__][1:] == [made.lago_id]


def test_plan_charges_find(client: Any) -> None:
    [charge] = make_plan(client).charges.__root__
    assert client.plan_charges.find("llm", "llm_cost").lago_id == charge.lago_id
    with pytest.raises(LagoApiError) as refused:
        client.plan_charges.find("llm", "other")
    assert refusal(refused) == (404, "charge_not_found")


def test_plan_charges_find_all(client: Any) -> None:
    make_plan(client)
    with pytest.raises(LagoApiError) as refused:
        client.plan_charges.find_all("llm")
    assert refused.value.status_code == 401, KEYLESS


def test_plan_charges_update(client: Any, subscribed: Any, lago: Sandbox) -> None:
    client.events.create(event("one"))
    assert client.customers.current_usage("acme", "sub").amount_cents == 250
    lago.set_clock(advance=A_SECOND)
    change = models.Charge(charge_model="standard", code="new", properties={"amount": "2"})
    changed = client.plan_charges.update("llm", "llm_cost", change)
    assert (changed.code, changed.properties["amount"]) == ("llm_cost", "2"), "with subscribers the code stays"
    assert client.customers.current_usage("acme", "sub").amount_cents == 500


def test_plan_charges_destroy(client: Any) -> None:
    [charge] = make_plan(client).charges.__root__
    assert client.plan_charges.destroy("llm", "llm_cost").lago_id == charge.lago_id
    assert client.plans.find("llm").charges.__root__ == []


def make_filter(client: Any) -> Any:
    chosen = models.ChargeFilter(values={"model": ["b"]}, properties={"amount": "2"})
    return client.plans.create_charge_filter("llm", "llm_cost", chosen)


def test_plans_create_charge_filter(client: Any, subscribed: Any, lago: Sandbox) -> None:
    client.events.batch_create(models.BatchEvent(events=[event("one", "1", "a"), event("two", "1", "b")]))
    assert client.customers.current_usage("acme", "sub").amount_cents == 200
    lago.set_clock(advance=A_SECOND)
    chosen = models.ChargeFilter(values={"model": ["b"]}, properties={"amount": "2"})
    made = client.plans.create_charge_filter("llm", "llm_cost", chosen)
    assert (made.values, made.properties) == ({"model": ["b"]}, {"amount": "2"})
    assert client.customers.current_usage("acme", "sub").amount_cents == 300
    with pytest.raises(LagoApiError) as refused:
        client.plans.create_charge_filter("llm", "llm_cost", models.ChargeFilter(properties={"amount": "2"}))
    assert refused.value.response["error_details"] == {"values": ["value_is_mandatory"]}


def test_plans_find_charge_filter(client: Any) -> None:
    make_plan(client)
    made = make_filter(client)
    assert client.plans.find_charge_filter("llm", "llm_cost", made.lago_id) == made
    with pytest.raises(LagoApiError) as refused:
        client.plans.find_charge_filter("llm", "llm_cost", "other")
    assert refusal(refused) == (404, "charge_filter_not_found")


def test_plans_find_all_charge_filters(client: Any) -> None:
    make_plan(client)
    made = make_filter(client)
    page = client.plans.find_all_charge_filters("llm", "llm_cost")
    assert (page["filters"], page["meta"]["total_count"]) == ([made], 1)


def test_plans_update_charge_filter(client: Any, subscribed: Any, lago: Sandbox) -> None:
    made = make_filter(client)
    client.events.create(event("one", "1", "b"))
    assert client.customers.current_usage("acme", "sub").amount_cents == 200
    lago.set_clock(advance=A_SECOND)
    change = models.ChargeFilter(values={"model": ["a"]}, properties={"amount": "4"})
    changed = client.plans.update_charge_filter("llm", "llm_cost", made.lago_id, change)
    assert (changed.lago_id, changed.properties) == (made.lago_id, {"amount": "4"})
    assert changed.values == {"model": ["b"]}, "Lago leaves a filter's values as they are"
    assert client.customers.current_usage("acme", "sub").amount_cents == 400


def test_plans_destroy_charge_filter(client: Any, subscribed: Any, lago: Sandbox) -> None:
    made = make_filter(client)
    client.events.create(event("one", "1", "b"))
    assert client.customers.current_usage("acme", "sub").amount_cents == 200
    lago.set_clock(advance=A_SECOND)
    assert client.plans.destroy_charge_filter("llm", "llm_cost", made.lago_id) == made
    assert client.customers.current_usage("acme", "sub").amount_cents == 100


# -- customers


def test_customers_create(client: Any) -> None:
    made = client.customers.create(models.Customer(external_id="acme", name="Acme", currency="USD"))
    changed = client.customers.create(models.Customer(external_id="acme", name="Acme & Co."))
    assert (changed.lago_id, changed.name, changed.currency) == (made.lago_id, "Acme & Co.", "USD")


def test_customers_find(client: Any) -> None:
    client.customers.create(models.Customer(external_id="acme", currency="USD"))
    assert client.customers.find("acme").currency == "USD"
    with pytest.raises(LagoApiError) as refused:
        client.customers.find("other")
    assert refusal(refused) == (404, "customer_not_found")


def test_customers_find_all(client: Any) -> None:
    for name in ("acme", "globex"):
        client.customers.create(models.Customer(external_id=name))
    page = client.customers.find_all({"per_page": 1})
    assert ([one.external_id for one in page["customers"]], page["meta"]["total_count"]) == (["globex"], 2)


def test_customers_destroy(client: Any, subscribed: Any) -> None:
    assert client.customers.destroy("acme").external_id == "acme"
    assert client.customers.find_all()["customers"] == []
    with pytest.raises(LagoApiError) as refused:
        client.subscriptions.find("sub")
    assert refusal(refused) == (404, "subscription_not_found")


def test_customers_current_usage(client: Any, subscribed: Any) -> None:
    client.events.batch_create(models.BatchEvent(events=[event("one"), event("two", "0.125"), event("x", "much")]))
    usage = client.customers.current_usage("acme", "sub", billable_metric_code="llm_cost")
    assert (usage.from_datetime, usage.to_datetime) == (START, "2026-11-30T23:59:59Z")
    [charge] = usage.charges_usage
    assert (Decimal(charge.units), charge.amount_cents, charge.amount_currency) == (Decimal("2.625"), 263, "USD")
    assert (charge.billable_metric.code, charge.charge.charge_model) == ("llm_cost", "standard")
    with pytest.raises(LagoApiError) as refused:
        client.customers.current_usage("acme", "other")
    assert refusal(refused) == (405, "no_active_subscription")


def test_customers_current_usage_by_filter_and_by_group(client: Any) -> None:
    filters = models.ChargeFilters(__root__=[models.ChargeFilter(values={"model": ["b"]}, properties={"amount": "2"})])
    make_plan(client, filters=filters, properties={"amount": "1", "pricing_group_keys": ["model"]})
    subscribe(client)
    client.events.batch_create(models.BatchEvent(events=[event("one", "1", "a"), event("two", "1", "b")]))
    [charge] = client.customers.current_usage("acme", "sub").charges_usage
    units = {str(one.values): (Decimal(one.units), one.amount_cents) for one in charge.filters}
    assert units == {"{'model': ['b']}": (Decimal(1), 200), "None": (Decimal(1), 100)}
    [charge] = client.customers.current_usage("acme", "sub", group={"model": "a"}).charges_usage
    assert (Decimal(charge.units), charge.amount_cents) == (Decimal(1), 100)


def test_customers_past_usage(client: Any, invoiced: Any) -> None:
    page = client.customers.past_usage("acme", "sub", {"periods_count": 1})
    [usage] = page["usage_periods"]
    assert (usage.from_datetime, usage.to_datetime) == (START, "2026-11-30T23:59:59Z")
    assert (usage.lago_invoice_id, usage.amount_cents) == (invoiced.lago_id, 250)
    assert [Decimal(charge.units) for charge in usage.charges_usage] == [Decimal("2.5")]
    assert page["meta"]["total_count"] == 1


def test_customers_projected_usage(client: Any, subscribed: Any) -> None:
    with pytest.raises(LagoApiError) as refused:
        client.customers.projected_usage("acme", "sub")
    assert refusal(refused) == (403, "projected_usage_not_enabled"), "as by a Lago without a licence"


def test_usages_find_all(client: Any, lago: Sandbox) -> None:
    with pytest.raises(LagoApiError):
        client.usages.find_all()
    [asked] = lago.requests()
    assert (asked["path"], asked["status"]) == ("/api/v1/analytics/usage", 500), "as of a Lago without its data API"


def test_customers_portal_url(client: Any, subscribed: Any) -> None:
    assert client.customers.portal_url("acme").startswith("http://localhost/customer-portal/")
    with pytest.raises(LagoApiError) as refused:
        client.customers.portal_url("other")
    assert refusal(refused) == (404, "customer_not_found")


def test_customers_checkout_url(client: Any, subscribed: Any) -> None:
    with pytest.raises(LagoApiError) as refused:
        client.customers.checkout_url("acme")
    assert refusal(refused) == (422, "validation_errors"), "as by a Lago without a payment provider"
    assert refused.value.response["error_details"] == {"base": ["no_linked_payment_provider"]}


# -- subscriptions


def test_subscriptions_create(client: Any) -> None:
    make_plan(client)
    subscription = models.Subscription(external_customer_id="acme", plan_code="llm", external_id="sub")
    made = client.subscriptions.create(subscription)
    assert (made.external_id, made.status, made.plan_code, made.billing_time) == ("sub", "active", "llm", "calendar")
    again = client.subscriptions.create(subscription)
    assert again.lago_id == made.lago_id
    assert client.customers.find("acme").currency == "USD"


def test_subscriptions_find(client: Any, subscribed: Any) -> None:
    found = client.subscriptions.find("sub")
    assert found.lago_id == subscribed.lago_id
    assert (found.current_billing_period_started_at, found.current_billing_period_ending_at) == (
        START,
        "2026-11-30T23:59:59Z",
    )


def test_subscriptions_find_all(client: Any, subscribed: Any) -> None:
    subscribe(client, "more")
    page = client.subscriptions.find_all({"external_customer_id": "acme"})
    assert sorted(one.external_id for one in page["subscriptions"]) == ["more", "sub"]
    client.subscriptions.destroy("more")
    [ended] = client.subscriptions.find_all({"status[]": "terminated"})["subscriptions"]
    assert ended.external_id == "more"


def test_subscriptions_update(client: Any, subscribed: Any) -> None:
    changed = client.subscriptions.update(models.Subscription(name="Ours", ending_at="2026-12-31T00:00:00Z"), "sub")
    assert (changed.lago_id, changed.name) == (subscribed.lago_id, "Ours")
    assert client.subscriptions.find("sub").ending_at == "2026-12-31T00:00:00Z"


def test_subscriptions_destroy(client: Any, subscribed: Any) -> None:
    assert client.subscriptions.destroy("sub").status == "terminated"
    with pytest.raises(LagoApiError) as refused:
        client.subscriptions.find("sub")
    assert refusal(refused) == (404, "subscription_not_found")
    assert client.subscriptions.find("sub", {"status": "terminated"}).lago_id == subscribed.lago_id


def test_subscriptions_lifetime_usage(client: Any, subscribed: Any) -> None:
    client.events.create(event("one"))
    usage = client.subscriptions.lifetime_usage("sub")
    assert (usage.lago_subscription_id, usage.external_subscription_id) == (subscribed.lago_id, "sub")
    assert usage.from_datetime == START
    amounts = (usage.external_historical_usage_amount_cents, usage.invoiced_usage_amount_cents)
    assert (*amounts, usage.current_usage_amount_cents) == (0, 0, 0), "as of a Lago without a licence"
    with pytest.raises(LagoApiError) as refused:
        client.subscriptions.lifetime_usage("other")
    assert refusal(refused) == (404, "subscription_not_found")


def test_subscriptions_update_lifetime_usage(client: Any, subscribed: Any) -> None:
    changed = client.subscriptions.update_lifetime_usage("sub", 100)
    assert changed.external_historical_usage_amount_cents == 100
    assert client.subscriptions.lifetime_usage("sub").lago_id == changed.lago_id
    with pytest.raises(LagoApiError) as refused:
        client.subscriptions.update_lifetime_usage("sub", -1)
    assert refused.value.response["error_details"] == {"historical_usage_amount_cents": ["value_is_out_of_range"]}


def alert(code: str, *values: str, **fields: Any) -> Any:
    thresholds = [models.AlertThreshold(code="much", value=value, recurring=False) for value in values]
    plain = {"alert_type": "current_usage_amount", "code": code, "thresholds": thresholds}
    return models.Alert(**plain | fields)


def test_subscriptions_create_alerts(client: Any, subscribed: Any) -> None:
    spent = alert("spent", "1000", "2500.5", name="Spent")
    tokens = alert("tokens", "9", alert_type="billable_metric_current_usage_units", billable_metric_code="llm_cost")
    made = client.subscriptions.create_alerts("sub", models.AlertsList(alerts=[spent, tokens]))["alerts"]
    assert [(one.code, one.name, one.external_subscription_id) for one in made] == [
        ("spent", "Spent", "sub"),
        ("tokens", None, "sub"),
    ]
    assert [one.value for one in made[0].thresholds.__root__] == ["1000.0", "2500.5"]
    assert (made[0].billable_metric, made[1].billable_metric.code) == (None, "llm_cost")
    with pytest.raises(LagoApiError) as refused:
        client.subscriptions.create_alerts("sub", models.AlertsList(alerts=[alert("spent", "1")]))
    [error] = refused.value.response["error_details"].values()
    assert error["errors"] == 'Validation errors: {"base":["alert_already_exists"]}'


def test_subscriptions_delete_alerts(client: Any, subscribed: Any) -> None:
    spent = models.AlertsList(alerts=[alert("spent", "1000")])
    client.subscriptions.create_alerts("sub", spent)
    assert client.subscriptions.delete_alerts("sub") is None
    assert [one.code for one in client.subscriptions.create_alerts("sub", spent)["alerts"]] == ["spent"]
    with pytest.raises(LagoApiError) as refused:
        client.subscriptions.delete_alerts("sub", subscription_status="terminated")
    assert refusal(refused) == (404, "subscription_not_found")


def test_subscription_charges_find(client: Any, subscribed: Any) -> None:
    found = client.subscription_charges.find("sub", "llm_cost")
    assert found == client.plan_charges.find("llm", "llm_cost")
    with pytest.raises(LagoApiError) as refused:
        client.subscription_charges.find("sub", "other")
    assert refusal(refused) == (404, "charge_not_found")


def test_subscription_charges_find_all(client: Any, subscribed: Any) -> None:
    with pytest.raises(LagoApiError) as refused:
        client.subscription_charges.find_all("sub")
    assert refused.value.status_code == 401, KEYLESS


def test_subscription_charges_update(client: Any, subscribed: Any) -> None:
    with pytest.raises(LagoApiError) as refused:
        client.subscription_charges.update("sub", "llm_cost", models.Charge(properties={"amount": "2"}))
    assert refusal(refused) == (403, "feature_unavailable"), "as by a Lago without a licence"


def test_subscriptions_find_charge_filter(client: Any, subscribed: Any) -> None:
    made = make_filter(client)
    assert client.subscriptions.find_charge_filter("sub", "llm_cost", made.lago_id) == made
    with pytest.raises(LagoApiError) as refused:
        client.subscriptions.find_charge_filter("sub", "llm_cost", made.lago_id, subscription_status="terminated")
    assert refusal(refused) == (404, "subscription_not_found")


def test_subscriptions_find_all_charge_filters(client: Any, subscribed: Any) -> None:
    made = make_filter(client)
    page = client.subscriptions.find_all_charge_filters("sub", "llm_cost")
    assert (page["filters"], page["meta"]["total_count"]) == ([made], 1)


def test_subscriptions_create_charge_filter(client: Any, subscribed: Any) -> None:
    with pytest.raises(LagoApiError) as refused:
        client.subscriptions.create_charge_filter("sub", "llm_cost", OTHER_PRICE)
    assert refusal(refused) == (403, "feature_unavailable"), "as by a Lago without a licence"


def test_subscriptions_update_charge_filter(client: Any, subscribed: Any) -> None:
    made = make_filter(client)
    with pytest.raises(LagoApiError) as refused:
        client.subscriptions.update_charge_filter("sub", "llm_cost", made.lago_id, OTHER_PRICE)
    assert refusal(refused) == (403, "feature_unavailable"), "as by a Lago without a licence"


def test_subscriptions_destroy_charge_filter(client: Any, subscribed: Any) -> None:
    made = make_filter(client)
    with pytest.raises(LagoApiError) as refused:
        client.subscriptions.destroy_charge_filter("sub", "llm_cost", made.lago_id)
    assert refusal(refused) == (403, "feature_unavailable"), "as by a Lago without a licence"


def test_customer_subscriptions_find_all(client: Any, subscribed: Any) -> None:
    with pytest.raises(LagoApiError) as refused:
        client.customer_subscriptions.find_all("acme")
    assert refused.value.status_code == 401, KEYLESS


# -- invoices, which past usage is made of


def test_invoices_find(client: Any, invoiced: Any) -> None:
    found = client.invoices.find(invoiced.lago_id)
    assert (found.status, found.currency, found.total_amount_cents) == ("draft", "USD", 250)
    assert [(fee.units, fee.amount_cents) for fee in found.fees.__root__ if fee.item.type == "charge"] == [("2.5", 250)]


def test_invoices_find_all(client: Any, invoiced: Any) -> None:
    assert [one.lago_id for one in client.invoices.find_all({"status": "draft"})["invoices"]] == [invoiced.lago_id]
    assert client.invoices.find_all({"status": "finalized"})["invoices"] == []


def test_invoices_refresh(client: Any, invoiced: Any) -> None:
    client.events.create(event("late", "1"))
    assert client.invoices.find(invoiced.lago_id).total_amount_cents == 250
    assert client.invoices.refresh(invoiced.lago_id).total_amount_cents == 350


def test_invoices_finalize(client: Any, invoiced: Any, lago: Sandbox) -> None:
    client.events.create(event("late", "1"))
    final = client.invoices.finalize(invoiced.lago_id)
    assert (final.status, final.total_amount_cents) == ("finalized", 350)
    client.events.create(event("too late", "1"))
    lago.set_clock(advance=timedelta(days=7))
    assert client.invoices.find(invoiced.lago_id).total_amount_cents == 350


def test_fees_find(client: Any, invoiced: Any) -> None:
    [fee] = client.fees.find_all({"fee_type": "charge"})["fees"]
    assert client.fees.find(fee.lago_id).units == "2.5"


def test_fees_find_all(client: Any, invoiced: Any) -> None:
    [fee] = client.fees.find_all({"external_subscription_id": "sub", "fee_type": "charge"})["fees"]
    assert (fee.lago_invoice_id, fee.amount_cents, fee.item.code) == (invoiced.lago_id, 250, "llm_cost")


def test_organizations_update(client: Any) -> None:
    configuration = models.OrganizationBillingConfiguration(invoice_grace_period=5)
    changed = client.organizations.update(
        models.Organization(default_currency="USD", billing_configuration=configuration)
    )
    assert changed.billing_configuration.invoice_grace_period == 5


# -- what the stand-in does not have


@pytest.mark.parametrize(
    "ask",
    [
        lambda client: client.coupons.find_all(),
        lambda client: client.wallets.find_all(),
        lambda client: client.customers.wallets.find_all("acme"),
        lambda client: client.fees.destroy("one"),
        lambda client: client.invoices.void("one"),
        lambda client: client.subscription_fixed_charges.find("sub", "one"),
    ],
)
def test_what_the_stand_in_does_not_have_it_says(client: Any, subscribed: Any, ask: Any) -> None:
    with pytest.raises(LagoApiError) as refused:
        ask(client)
    assert refusal(refused) == (501, "not_in_sandbox")
