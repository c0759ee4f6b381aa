"""Lago's own Python client works against the stand-in."""

from typing import Any

import lago_python_client.models
import pytest
from lago_python_client.client import Client
from lago_python_client.exceptions import LagoApiError

from reconciler.sandbox import Sandbox
from tests.sandbox.conftest import event
from tests.sandbox.test_provisioning import METRIC, PLAN, iso, month_start

# Its models are pydantic's old ones, whose optional fields look mandatory to a type checker.
models: Any = lago_python_client.models


@pytest.fixture
def client(lago: Sandbox) -> Any:
    return Client(api_key=lago.api_key, api_url=lago.url)


def test_events_are_sent_and_found(client: Any, lago: Sandbox) -> None:
    made = client.events.create(models.Event(**event("one")))
    assert (made.transaction_id, made.timestamp) == ("one", "2024-03-14T13:09:00.590Z")
    batch = [models.Event(**event(name)) for name in ("two", "three")]
    client.events.batch_create(models.BatchEvent(events=batch))
    assert client.events.find("two").properties == event()["properties"]
    assert len(lago.events()) == 3


def test_refusals_are_understood(client: Any) -> None:
    client.events.create(models.Event(**event()))
    with pytest.raises(LagoApiError) as refusal:
        client.events.create(models.Event(**event()))
    assert refusal.value.status_code == 422
    assert refusal.value.response["error_details"] == {"transaction_id": ["value_already_exist"]}


def test_from_metric_to_current_usage(client: Any) -> None:
    metric = client.billable_metrics.create(models.BillableMetric(**METRIC))
    charge = models.Charge(billable_metric_id=metric.lago_id, charge_model="standard", properties={"amount": "1"})
    client.plans.create(models.Plan(**PLAN, charges=models.Charges(__root__=[charge])))
    client.customers.create(models.Customer(external_id="acme", currency="USD"))
    start = iso(month_start())
    client.subscriptions.create(
        models.Subscription(external_customer_id="acme", plan_code="llm", external_id="sub", subscription_at=start)
    )
    client.events.create(models.Event(**event(timestamp=int(month_start().timestamp()))))

    assert [one.code for one in client.billable_metrics.find_all()["billable_metrics"]] == ["llm_cost"]
    assert client.plans.find("llm").charges.__root__[0].billable_metric_code == "llm_cost"
    assert client.customers.find("acme").currency == "USD"
    assert client.subscriptions.find("sub").current_billing_period_started_at == start
    usage = client.customers.current_usage("acme", "sub")
    assert (usage.charges_usage[0].units, usage.charges_usage[0].events_count) == ("0.00042", 1)
    assert client.subscriptions.destroy("sub").status == "terminated"
