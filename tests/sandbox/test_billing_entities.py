"""The billing entity: its time zone and days of grace hold for customers who have none of their own."""

from typing import Any

import pytest

from tests.sandbox.clock import Clock
from tests.sandbox.conftest import Api, invalid
from tests.sandbox.support import invoices, make_plan, subscribe


def entity(api: Api) -> dict[str, Any]:
    (only,) = api.get("billing_entities").json()["billing_entities"]
    shown: dict[str, Any] = only
    return shown


def change(api: Api, **fields: Any) -> Any:
    return api.client.put("billing_entities/default", json={"billing_entity": fields})


def customer(api: Api, **fields: Any) -> dict[str, Any]:
    shown: dict[str, Any] = api.post("customers", {"customer": {"external_id": "acme", **fields}}).json()["customer"]
    return shown


def test_there_is_one_with_the_settings_of_the_organization(api: Api) -> None:
    settings = {"timezone": "Pacific/Fiji", "billing_configuration": {"invoice_grace_period": 3}}
    api.client.put("organizations", json={"organization": settings})
    told = entity(api)
    assert (told["code"], told["is_default"]) == ("default", True)
    assert (told["timezone"], told["invoice_grace_period"], told["net_payment_term"]) == ("Pacific/Fiji", 3, 0)


def test_its_own_settings_go_before_the_organizations(api: Api) -> None:
    change(api, timezone="Asia/Tokyo", billing_configuration={"invoice_grace_period": 2})
    api.client.put("organizations", json={"organization": {"timezone": "Pacific/Fiji", "net_payment_term": 30}})
    told = entity(api)
    assert (told["timezone"], told["invoice_grace_period"], told["net_payment_term"]) == ("Asia/Tokyo", 2, 30)
    assert api.get("organizations").json()["organization"]["billing_configuration"]["invoice_grace_period"] == 0


def test_it_is_found_by_its_code(api: Api) -> None:
    alone = api.get("billing_entities/default").json()["billing_entity"]
    assert alone == entity(api) | {"taxes": [], "selected_invoice_custom_sections": []}
    assert api.get("billing_entities/none").json()["code"] == "billing_entity_not_found"


def test_a_customer_has_its_time_zone_and_grace_and_says_so_only_of_the_zone(api: Api) -> None:
    change(api, timezone="Asia/Tokyo", billing_configuration={"invoice_grace_period": 2})
    inherits = customer(api)
    assert (inherits["timezone"], inherits["applicable_timezone"]) == (None, "Asia/Tokyo")
    assert inherits["billing_configuration"]["invoice_grace_period"] is None
    own = customer(api, timezone="Pacific/Fiji", billing_configuration={"invoice_grace_period": 1})
    assert (own["timezone"], own["applicable_timezone"]) == ("Pacific/Fiji", "Pacific/Fiji")
    assert own["billing_configuration"]["invoice_grace_period"] == 1


def test_its_customers_are_billed_by_it(timed: Api, clock: Clock) -> None:
    make_plan(timed)
    subscribe(timed, subscription_at="2026-05-01T00:00:00Z")
    change(timed, timezone="Pacific/Fiji", billing_configuration={"invoice_grace_period": 2})
    clock.put("2026-05-31T12:09:59Z")
    assert invoices(timed) == []
    clock.put("2026-05-31T12:10:00Z")
    assert [(one["status"], one["issuing_date"]) for one in invoices(timed)] == [("draft", "2026-06-03")]


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"timezone": "Mars"}, {"timezone": ["invalid_timezone"]}),
        (
            {"billing_configuration": {"invoice_grace_period": -1}},
            {"invoice_grace_period": ["value_is_out_of_range"]},
        ),
    ],
)
def test_settings_that_make_no_sense_are_refused(api: Api, fields: dict[str, Any], wrong: dict[str, Any]) -> None:
    before = entity(api)
    assert change(api, **fields).json() == invalid(wrong)
    assert entity(api) == before


def test_a_second_one_is_not_here(api: Api) -> None:
    response = api.post("billing_entities", {"billing_entity": {"code": "second", "name": "Second"}})
    assert (response.status_code, response.json()["code"]) == (501, "not_in_sandbox")
