"""What tests of metrics, plans, subscriptions and usage ask the stand-in for, in short."""

from datetime import datetime
from typing import Any

from tests.sandbox.conftest import Api


def make_metric(api: Api, code: str = "tokens", aggregation: str = "sum_agg", **fields: Any) -> dict[str, Any]:
    field = {} if aggregation == "count_agg" else {"field_name": "value"}
    weighted = {"weighted_interval": "seconds"} if aggregation == "weighted_sum_agg" else {}
    body = {"name": code.title(), "code": code, "aggregation_type": aggregation, **field, **weighted, **fields}
    response = api.post("billable_metrics", {"billable_metric": body})
    assert response.status_code == 200, response.text
    made: dict[str, Any] = response.json()["billable_metric"]
    return made


def charge(metric: dict[str, Any], model: str = "standard", **fields: Any) -> dict[str, Any]:
    properties = fields.pop("properties", {"amount": "1"} if model == "standard" else {})
    return {"billable_metric_id": metric["lago_id"], "charge_model": model, "properties": properties, **fields}


def post_plan(api: Api, *charges: dict[str, Any], **fields: Any) -> Any:
    body = {
        "name": "P",
        "code": "p",
        "interval": "monthly",
        "amount_cents": 0,
        "amount_currency": "USD",
        "pay_in_advance": False,
        "charges": charges,
    }
    return api.post("plans", {"plan": body | fields})


def make_plan(api: Api, *charges: dict[str, Any], **fields: Any) -> dict[str, Any]:
    response = post_plan(api, *charges, **fields)
    assert response.status_code == 200, response.text
    made: dict[str, Any] = response.json()["plan"]
    return made


def post_subscription(api: Api, external_id: str = "sub", **fields: Any) -> Any:
    body = {"external_customer_id": "acme", "plan_code": "p", "external_id": external_id}
    return api.post("subscriptions", {"subscription": body | fields})


def subscribe(api: Api, external_id: str = "sub", **fields: Any) -> dict[str, Any]:
    response = post_subscription(api, external_id, **fields)
    assert response.status_code == 200, response.text
    made: dict[str, Any] = response.json()["subscription"]
    return made


def send(api: Api, *values: Any, at: str, code: str = "tokens", subscription: str = "sub", **properties: Any) -> None:
    """Send an event for each value, a second apart, each with an id of its own."""
    start = datetime.fromisoformat(at).timestamp()
    sent = [
        {
            "transaction_id": f"{code}-{subscription}-{start + n}-{value}-{sorted(properties.items())}",
            "external_subscription_id": subscription,
            "code": code,
            "timestamp": f"{start + n:.3f}",
            "properties": properties | ({} if value is ... else {"value": value}),
        }
        for n, value in enumerate(values)
    ]
    if sent:
        response = api.send(*sent)
        assert response.status_code == 200, response.text


def usage(api: Api, subscription: str = "sub", customer: str = "acme", **query: str) -> dict[str, Any]:
    response = api.get(f"customers/{customer}/current_usage", external_subscription_id=subscription, **query)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()["customer_usage"]
    return answer


def charge_usage(api: Api, subscription: str = "sub", **query: str) -> dict[str, Any]:
    """Return the only charge's usage."""
    (only,) = usage(api, subscription, **query)["charges_usage"]
    answer: dict[str, Any] = only
    return answer


def units(api: Api, subscription: str = "sub", **query: str) -> str:
    text: str = charge_usage(api, subscription, **query)["units"]
    return text


def past_usage(api: Api, subscription: str = "sub", **query: Any) -> list[dict[str, Any]]:
    response = api.get("customers/acme/past_usage", external_subscription_id=subscription, **query)
    assert response.status_code == 200, response.text
    periods: list[dict[str, Any]] = response.json()["usage_periods"]
    return periods


def invoices(api: Api, **query: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api.get("invoices", **query).json()["invoices"]
    return found
