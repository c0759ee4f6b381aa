"""Lago's own Python client reads back what was billed; `test_lago_python_client.py` tries each of its methods."""

from datetime import datetime
from typing import Any

import lago_python_client.models
import pytest
from lago_python_client.client import Client

from reconciler.sandbox import Sandbox
from tests.sandbox.conftest import event
from tests.sandbox.test_provisioning import METRIC, PLAN

# Its models are pydantic's old ones, whose optional fields look mandatory to a type checker.
models: Any = lago_python_client.models


@pytest.mark.usefixtures("one_certificate")
def test_a_closed_period_is_read_back(lago: Sandbox) -> None:
    lago.set_clock(datetime.fromisoformat("2026-05-15T12:00:00Z"))
    client: Any = Client(api_key=lago.api_key, api_url=lago.url)
    filters = models.BillableMetricFilters(__root__=[models.BillableMetricFilter(key="model", values=["gpt"])])
    metric = client.billable_metrics.create(models.BillableMetric(**METRIC, filters=filters))
    one = models.ChargeFilter(values={"model": ["gpt"]}, properties={"amount": "2", "pricing_group_keys": ["model"]})
    charge = models.Charge(
        billable_metric_id=metric.lago_id,
        charge_model="standard",
        properties={"amount": "1", "pricing_group_keys": ["model"]},
        filters=models.ChargeFilters(__root__=[one]),
    )
    client.plans.create(models.Plan(**(PLAN | {"amount_cents": 500}), charges=models.Charges(__root__=[charge])))
    customer = models.Customer(
        external_id="acme", timezone="Europe/Paris", billing_configuration={"invoice_grace_period": 2}
    )
    assert client.customers.create(customer).billing_configuration.invoice_grace_period == 2
    subscription = models.Subscription(
        external_customer_id="acme", plan_code="llm", external_id="sub", subscription_at="2026-05-01T00:00:00Z"
    )
    client.subscriptions.create(subscription)
    properties = {"model": "gpt", "response_cost": "0.25"}
    client.events.create(models.Event(**event(timestamp=1778839200, properties=properties)))
    usage = client.customers.current_usage("acme", "sub", group={"model": "gpt"})
    assert usage.charges_usage[0].filters[0].amount_cents == 50
    assert usage.charges_usage[0].grouped_usage[0].grouped_by == {"model": "gpt"}

    lago.set_clock(datetime.fromisoformat("2026-05-31T22:10:00Z"))
    (draft,) = client.invoices.find_all({"external_customer_id": "acme"})["invoices"]
    assert (draft.status, draft.total_amount_cents) == ("draft", 550)
    assert client.invoices.refresh(draft.lago_id).billing_periods.__root__[0].external_subscription_id == "sub"
    final = client.invoices.finalize(draft.lago_id)
    assert [fee.amount_cents for fee in final.fees.__root__] == [500, 50]
    assert [fee.units for fee in client.fees.find_all({"fee_type": "charge"})["fees"]] == ["0.25"]
    assert client.fees.find(final.fees.__root__[1].lago_id).item.filters == {"model": ["gpt"]}
    (past,) = client.customers.past_usage("acme", "sub")["usage_periods"]
    assert (past.lago_invoice_id, past.charges_usage[0].units) == (final.lago_id, "0.25")
    assert client.organizations.update(models.Organization(default_currency="USD", timezone="UTC")).timezone == "UTC"
    assert client.billable_metrics.update(models.BillableMetric(name="New"), "llm_cost").name == "New"
    assert client.plans.update(models.Plan(name="New"), "llm").charges.__root__[0].charge_model == "standard"
    assert client.subscriptions.update(models.Subscription(name="New"), "sub").name == "New"
    assert client.plans.destroy("llm").code == "llm"
    assert client.billable_metrics.destroy("llm_cost").code == "llm_cost"
    assert client.customers.destroy("acme").external_id == "acme"
