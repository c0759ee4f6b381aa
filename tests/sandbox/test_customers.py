from typing import Any

import pytest

from tests.sandbox.conftest import Api, invalid
from tests.sandbox.support import make_plan, post_subscription, subscribe


def post(api: Api, **fields: Any) -> Any:
    return api.post("customers", {"customer": {"external_id": "acme", **fields}})


def test_fields_that_are_not_given_stay(timed: Api) -> None:
    post(timed, name="Acme", currency="EUR", timezone="Europe/Paris", metadata=[{"key": "tier", "value": "gold"}])
    changed = post(timed, email="a@example.com", billing_configuration={"invoice_grace_period": 3}).json()["customer"]
    kept = {"name": "Acme", "currency": "EUR", "timezone": "Europe/Paris", "applicable_timezone": "Europe/Paris"}
    assert {name: changed[name] for name in kept} == kept
    assert (changed["email"], changed["billing_configuration"]["invoice_grace_period"]) == ("a@example.com", 3)
    assert [(one["key"], one["value"]) for one in changed["metadata"]] == [("tier", "gold")]
    assert changed["slug"].endswith("-001")


@pytest.mark.parametrize("external_id", [None, "", ["a"], {"a": "b"}])
def test_an_external_id_is_mandatory_text(timed: Api, external_id: Any) -> None:
    assert post(timed, external_id=external_id).json() == invalid({"external_id": ["value_is_mandatory"]})


def test_a_time_zone_is_one_of_iana(timed: Api) -> None:
    for zone in ("Mars/Olympus", "../etc/passwd", 3):
        assert post(timed, timezone=zone).json() == invalid({"timezone": ["invalid_timezone"]})


def test_a_customer_with_subscriptions_keeps_its_currency(timed: Api) -> None:
    make_plan(timed)
    make_plan(timed, code="euro", amount_currency="EUR")
    assert subscribe(timed)["plan_amount_currency"] == "USD"
    wrong = invalid({"currency": ["currencies_does_not_match"]})
    assert post(timed, currency="EUR").json() == wrong
    assert post_subscription(timed, "other", plan_code="euro").json() == wrong
    assert timed.get("subscriptions/other").status_code == 404


def test_a_deleted_customer_is_gone_with_its_subscriptions(timed: Api) -> None:
    make_plan(timed)
    subscribe(timed)
    first = timed.client.delete("customers/acme").json()["customer"]
    assert timed.get("customers/acme").json()["code"] == "customer_not_found"
    assert timed.get("customers").json()["customers"] == []
    usage = timed.get("customers/acme/current_usage", external_subscription_id="sub")
    assert (usage.status_code, usage.json()["code"]) == (404, "resource_not_found")
    ended = timed.get("subscriptions/sub", status="terminated").json()["subscription"]
    assert ended["lago_customer_id"] == first["lago_id"]
    again = subscribe(timed)
    assert (again["lago_customer_id"] == first["lago_id"], again["external_customer_id"]) == (False, "acme")


@pytest.mark.parametrize("fields", [{"tax_codes": ["vat"]}, {"integration_customers": [{"integration_type": "xero"}]}])
def test_what_is_not_here_is_said_to_be(timed: Api, fields: dict[str, Any]) -> None:
    assert post(timed, **fields).status_code == 501


def test_days_of_grace_are_a_number(timed: Api) -> None:
    refused = post(timed, billing_configuration={"invoice_grace_period": "three"})
    assert refused.json() == invalid({"invoice_grace_period": ["value_is_out_of_range"]})
