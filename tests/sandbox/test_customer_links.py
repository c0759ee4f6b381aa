"""The links that Lago makes for a customer."""

import json
from base64 import b64decode

from tests.sandbox.conftest import Api, invalid


def test_the_portal_is_at_lagos_front_for_half_a_day(timed: Api) -> None:
    made = timed.post("customers", {"customer": {"external_id": "acme"}}).json()["customer"]
    url: str = timed.get("customers/acme/portal_url").json()["customer"]["portal_url"]
    front, _, message = url.rpartition("/")
    content, _, signature = message.partition("--")
    assert (front, len(signature)) == ("http://localhost/customer-portal", 40)
    signed = {"data": made["lago_id"], "exp": "2026-05-16T00:00:00.000Z"}
    assert json.loads(b64decode(content)) == {"_rails": signed}


def test_there_is_no_checkout_without_a_payment_provider(timed: Api) -> None:
    timed.post("customers", {"customer": {"external_id": "acme"}})
    refused = invalid({"base": ["no_linked_payment_provider"]})
    assert timed.client.post("customers/acme/checkout_url").json() == refused


def test_an_unknown_customer_has_neither(timed: Api) -> None:
    assert timed.get("customers/other/portal_url").json()["code"] == "customer_not_found"
    assert timed.client.post("customers/other/checkout_url").json()["code"] == "customer_not_found"
