import httpx
import pytest

from reconciler.sandbox import Sandbox
from tests.sandbox.conftest import Api, event
from tests.sandbox.support import charge, charge_usage, make_metric, make_plan, subscribe

UNAUTHORIZED = {"status": 401, "error": "Unauthorized"}


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer wrong-key"])
def test_a_missing_or_unknown_key_is_refused(lago: Sandbox, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header}
    response = httpx.get(f"{lago.url}/api/v1/events", headers=headers, trust_env=False)
    assert response.status_code == 401
    assert response.json() == UNAUTHORIZED


def test_the_scheme_word_is_not_looked_at(lago: Sandbox) -> None:
    headers = {"Authorization": f"Whatever {lago.api_key}"}
    assert httpx.get(f"{lago.url}/api/v1/events", headers=headers, trust_env=False).status_code == 200


def test_each_key_is_an_organization_of_its_own(lago: Sandbox, api: Api) -> None:
    with Api(lago, "other-key") as other:
        assert api.send(event("same")).status_code == 200
        assert other.ids() == []
        assert other.send(event("same")).status_code == 200
        assert other.get("events/same").json()["event"]["lago_id"] != api.get("events/same").json()["event"]["lago_id"]
    assert len(lago.events()) == len(lago.events("other-key")) == 1


def test_another_organizations_customer_and_charges_are_not_found(lago: Sandbox, api: Api) -> None:
    make_plan(api, charge(make_metric(api)))
    subscribe(api)
    foreign = charge_usage(api)["charge"]
    with Api(lago, "other-key") as other:
        query = {"external_subscription_id": "sub"}
        assert other.get("customers/acme/current_usage", **query).json()["code"] == "resource_not_found"
        make_plan(other, charge(make_metric(other, "calls")))
        subscribe(other)
        for name, field in {"charge_id": "lago_id", "charge_code": "code"}.items():
            response = other.get("customers/acme/current_usage", **query, **{name: foreign[field]})
            assert (response.status_code, response.json()["code"]) == (404, "charge_not_found")
        assert charge_usage(other)["charge"]["lago_id"] != foreign["lago_id"]


def test_an_unknown_route_is_not_found(api: Api) -> None:
    response = api.get("nowhere")
    assert response.status_code == 404
    assert response.json() == {"status": 404, "error": "Not Found", "code": "resource_not_found"}
    assert api.client.delete("events/txn").status_code == 404


def forbidden(code: str) -> dict[str, object]:
    return {"status": 403, "error": "Forbidden", "code": code}


def test_a_key_can_be_kept_from_writing_events(lago: Sandbox, api: Api) -> None:
    lago.permissions(event=["read"])
    for response in (api.send(event()), api.post("events", {"event": event()})):
        assert response.status_code == 403
        assert response.json() == forbidden("write_action_not_allowed_for_event")
    assert api.get("events").status_code == 200
    lago.permissions(event=[], customer_usage=["write"])
    assert api.get("events/txn").json() == forbidden("read_action_not_allowed_for_event")
    assert api.get("events_enriched").json() == forbidden("read_action_not_allowed_for_event")
    for usage in "current_usage", "past_usage":
        assert api.get(f"customers/x/{usage}").json() == forbidden("read_action_not_allowed_for_customer_usage")
    assert api.get("customers").status_code == 200


def test_alerts_and_lifetime_usage_have_permissions_of_their_own(lago: Sandbox, api: Api) -> None:
    lago.permissions(alert=["read"], lifetime_usage=["write"], subscription=[])
    for path in ("subscriptions/x/alerts", "subscriptions/x/alerts/y"):
        assert api.get(path).json()["code"] == "subscription_not_found"
        assert api.client.delete(path).json() == forbidden("write_action_not_allowed_for_alert")
    refused = forbidden("read_action_not_allowed_for_lifetime_usage")
    assert api.get("subscriptions/x/lifetime_usage").json() == refused
    assert api.get("subscriptions/x/charges").json() == forbidden("read_action_not_allowed_for_subscription")


def test_permissions_are_those_of_one_key(lago: Sandbox, api: Api) -> None:
    lago.permissions("other-key", event=["read"])
    with Api(lago, "other-key") as other:
        assert (api.send(event()).status_code, other.send(event()).status_code) == (200, 403)
        lago.reset()
        assert other.send(event()).status_code == 200


def test_a_permission_that_makes_no_sense_is_refused(lago: Sandbox) -> None:
    with pytest.raises(ValueError, match="error"):
        lago.permissions(event=["look"])
    with pytest.raises(ValueError, match="no organization has this API key"):
        lago.permissions("wrong-key", event=["read"])


@pytest.mark.parametrize(
    ("path", "resource"),
    [
        ("subscriptions", "subscription"),
        ("subscriptions/x", "subscription"),
        ("invoices", "invoice"),
        ("invoices/x", "invoice"),
        ("customers/x", "customer"),
        ("customers/x/past_usage", "customer_usage"),
        ("organizations", "organization"),
        ("billing_entities", "billing_entity"),
        ("billable_metrics/x", "billable_metric"),
        ("plans", "plan"),
        ("fees", "fee"),
        ("events_enriched", "event"),
    ],
)
def test_a_key_can_be_kept_from_reading_each_resource(lago: Sandbox, api: Api, path: str, resource: str) -> None:
    lago.permissions(None, **{resource: ["write"]})
    response = api.get(path)
    assert (response.status_code, response.json()) == (403, forbidden(f"read_action_not_allowed_for_{resource}"))
