from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.sandbox.conftest import Api, event, invalid

METRIC = {
    "name": "LLM cost",
    "code": "llm_cost",
    "aggregation_type": "sum_agg",
    "field_name": "response_cost",
}
PLAN = {
    "name": "LLM",
    "code": "llm",
    "interval": "monthly",
    "amount_cents": 0,
    "amount_currency": "USD",
    "pay_in_advance": False,
}


def make_plan(api: Api, **properties: Any) -> dict[str, Any]:
    metric = api.post("billable_metrics", {"billable_metric": METRIC}).json()["billable_metric"]
    charge = {
        "billable_metric_id": metric["lago_id"],
        "charge_model": "standard",
        "properties": {"amount": "1", **properties},
    }
    plan: dict[str, Any] = api.post("plans", {"plan": PLAN | {"charges": [charge]}}).json()["plan"]
    return plan


def subscribe(api: Api, external_id: str = "sub", customer: str = "acme", **fields: Any) -> Any:
    body = {"external_customer_id": customer, "plan_code": "llm", "external_id": external_id, **fields}
    return api.post("subscriptions", {"subscription": body})


def iso(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def month_start() -> datetime:
    return datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def test_a_metric_is_made_once_and_found_by_code(api: Api) -> None:
    made = api.post("billable_metrics", {"billable_metric": METRIC}).json()["billable_metric"]
    assert made["filters"] == []
    assert api.get("billable_metrics/llm_cost").json() == {"billable_metric": made}
    assert api.get("billable_metrics").json()["billable_metrics"] == [made]
    again = api.post("billable_metrics", {"billable_metric": METRIC})
    assert again.json() == invalid({"code": ["value_already_exist"]})
    assert api.get("billable_metrics/other").json()["code"] == "billable_metric_not_found"


def test_a_metric_without_its_fields_is_unprocessable(api: Api) -> None:
    details = {name: ["value_is_mandatory"] for name in ("name", "code", "field_name")}
    response = api.post("billable_metrics", {"billable_metric": {"aggregation_type": "sum_agg"}})
    assert response.json() == invalid(details)


def test_a_plan_has_charges_and_is_found_by_code(api: Api) -> None:
    plan = make_plan(api)
    assert plan["charges"][0]["billable_metric_code"] == "llm_cost"
    assert api.get("plans/llm").json() == {"plan": plan}
    assert api.get("plans").json()["plans"] == [plan]


def test_a_charge_needs_a_known_metric(api: Api) -> None:
    charge = {"billable_metric_id": "none", "charge_model": "standard", "properties": {"amount": "1"}}
    response = api.post("plans", {"plan": PLAN | {"charges": [charge]}})
    assert (response.status_code, response.json()["code"]) == (404, "billable_metrics_not_found")
    assert api.get("plans/llm").status_code == 404
    make_plan(api)
    changed = api.client.put("plans/llm", json={"plan": {"charges": [charge]}})
    assert (changed.status_code, changed.json()["code"]) == (404, "billable_metrics_not_found")
    added = api.post("plans/llm/charges", {"charge": charge})
    assert (added.status_code, added.json()["code"]) == (404, "billable_metric_not_found")


@pytest.mark.parametrize("amount", [1, "x", "-1", None])
def test_an_amount_is_a_decimal_string(api: Api, amount: Any) -> None:
    metric = api.post("billable_metrics", {"billable_metric": METRIC}).json()["billable_metric"]
    charge = {
        "billable_metric_id": metric["lago_id"],
        "charge_model": "standard",
        "properties": {"amount": amount},
    }
    assert api.post("plans", {"plan": PLAN | {"charges": [charge]}}).status_code == 422


def test_a_customer_is_made_or_changed(api: Api) -> None:
    made = api.post("customers", {"customer": {"external_id": "a/b", "currency": "USD"}}).json()["customer"]
    changed = api.post("customers", {"customer": {"external_id": "a/b", "name": "A"}}).json()["customer"]
    assert changed["lago_id"] == made["lago_id"]
    assert (changed["name"], changed["currency"]) == ("A", "USD")
    assert api.get("customers/a%2Fb").json()["customer"] == changed
    assert api.get("customers/c").json()["code"] == "customer_not_found"


def test_a_subscription_makes_its_customer_and_is_idempotent(api: Api) -> None:
    make_plan(api)
    start = iso(month_start() - timedelta(days=40))
    first = subscribe(api, subscription_at=start).json()["subscription"]
    assert (first["status"], first["subscription_at"]) == ("active", start)
    assert subscribe(api, subscription_at=start).json()["subscription"] == first
    assert api.get("customers/acme").status_code == 200
    plan = first.pop("plan")  # which a list does not show
    assert (plan["code"], api.get("subscriptions").json()["subscriptions"]) == (first["plan_code"], [first])


def test_an_external_id_belongs_to_one_customer(api: Api) -> None:
    make_plan(api)
    subscribe(api)
    assert subscribe(api, customer="rival").json() == invalid({"external_id": ["value_already_exist"]})


def test_an_unknown_plan_or_a_bad_date_is_refused(api: Api) -> None:
    assert subscribe(api).json()["code"] == "plan_not_found"
    make_plan(api)
    assert subscribe(api, subscription_at="soon").json() == invalid({"subscription_at": ["invalid_date"]})


def test_the_billing_period_is_the_month_from_the_start_on(api: Api) -> None:
    make_plan(api)
    subscribe(api, "old", subscription_at=iso(month_start() - timedelta(days=40)))
    subscribe(api, "new")
    end = (month_start() + timedelta(days=32)).replace(day=1) - timedelta(seconds=1)
    old, new = (api.get(f"subscriptions/{name}").json()["subscription"] for name in ("old", "new"))
    assert old["current_billing_period_started_at"] == iso(month_start())
    assert old["current_billing_period_ending_at"] == new["current_billing_period_ending_at"] == iso(end)
    assert new["current_billing_period_started_at"] == new["started_at"][:19] + "Z"


def test_a_future_start_is_pending(api: Api) -> None:
    make_plan(api)
    pending = subscribe(api, subscription_at=iso(datetime.now(UTC) + timedelta(days=2))).json()["subscription"]
    assert (pending["status"], pending["started_at"]) == ("pending", None)
    assert api.get("subscriptions/sub").status_code == 404
    assert api.get("subscriptions/sub", status="pending").status_code == 200


def test_a_terminated_subscription_is_gone_and_can_be_made_anew(api: Api) -> None:
    make_plan(api)
    first = subscribe(api).json()["subscription"]
    ended = api.client.delete("subscriptions/sub").json()["subscription"]
    assert ended["status"] == "terminated"
    assert ended["terminated_at"]
    assert api.get("subscriptions/sub").json()["code"] == "subscription_not_found"
    assert api.client.delete("subscriptions/sub").status_code == 404
    assert subscribe(api).json()["subscription"]["lago_id"] != first["lago_id"]
    assert len(api.get("subscriptions", **{"status[]": "terminated"}).json()["subscriptions"]) == 1


def test_events_can_be_asked_for_from_the_start_of_their_subscription(api: Api) -> None:
    make_plan(api)
    subscribe(api, subscription_at=iso(month_start()))
    at = month_start().timestamp()
    api.send(event("before", timestamp=at - 1), event("at", timestamp=at))
    query = {"external_subscription_id": "sub", "timestamp_from_started_at": "true"}
    assert api.ids(**query) == ["at"]
    assert api.ids(**query | {"timestamp_from_started_at": "false"}) == ["at", "before"]
