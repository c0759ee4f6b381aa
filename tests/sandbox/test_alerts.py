"""Alerts on the usage of subscriptions: they are kept, and nothing is ever told."""

from typing import Any

import pytest

from tests.sandbox.conftest import Api, invalid
from tests.sandbox.support import make_metric, make_plan, subscribe

UNITS = "billable_metric_current_usage_units"


@pytest.fixture
def subscribed(timed: Api) -> Api:
    make_metric(timed)
    make_plan(timed)
    subscribe(timed)
    return timed


def alert(**fields: Any) -> dict[str, Any]:
    """An alert that Lago takes, with some fields changed; a field of `...` is left out."""
    plain = {"alert_type": "current_usage_amount", "code": "spent", "thresholds": [{"value": 1000}]}
    return {name: value for name, value in (plain | fields).items() if value is not ...}


def post(api: Api, external_id: str = "sub", **fields: Any) -> Any:
    return api.post(f"subscriptions/{external_id}/alerts", {"alert": alert(**fields)})


def make(api: Api, **fields: Any) -> dict[str, Any]:
    response = post(api, **fields)
    assert response.status_code == 200, response.text
    made: dict[str, Any] = response.json()["alert"]
    return made


def put(api: Api, known: str = "spent", /, **fields: Any) -> Any:
    return api.client.put(f"subscriptions/sub/alerts/{known}", json={"alert": fields})


def codes(api: Api) -> list[str]:
    return [one["code"] for one in api.get("subscriptions/sub/alerts").json()["alerts"]]


def test_the_answer_is_the_alert(subscribed: Api) -> None:
    thresholds = [{"code": "notice", "value": 1000}, {"value": "2500.123456", "recurring": True}]
    made = make(subscribed, name="Spent", thresholds=thresholds)
    assert len(made.pop("lago_id")) == len(made.pop("lago_organization_id")) == 36
    assert made == {
        "subscription_external_id": "sub",
        "external_subscription_id": "sub",
        "lago_wallet_id": None,
        "wallet_code": None,
        "alert_type": "current_usage_amount",
        "code": "spent",
        "name": "Spent",
        "direction": "increasing",
        "previous_value": "0.0",
        "last_processed_at": None,
        "thresholds": [
            {"code": "notice", "value": "1000.0", "recurring": False},
            {"code": None, "value": "2500.12346", "recurring": True},
        ],
        "created_at": "2026-05-15T12:00:00Z",
        "billable_metric": None,
    }


def test_it_can_be_read_changed_and_deleted(subscribed: Api) -> None:
    made = make(subscribed, name="Spent")
    assert subscribed.get("subscriptions/sub/alerts/spent").json()["alert"] == made
    changed = put(subscribed, code="new", thresholds=[{"value": "5"}], alert_type=UNITS).json()["alert"]
    assert changed == made | {"code": "new", "thresholds": [{"code": None, "value": "5.0", "recurring": False}]}
    assert put(subscribed, "new", name="Other", thresholds=[]).json()["alert"] == changed | {"name": "Other"}
    deleted = subscribed.client.delete("subscriptions/sub/alerts/new").json()["alert"]
    assert (deleted["lago_id"], deleted["thresholds"]) == (made["lago_id"], [])
    assert codes(subscribed) == []


def test_one_may_be_of_a_metric(subscribed: Api) -> None:
    make_metric(subscribed, "calls", "count_agg")
    made = make(subscribed, alert_type=UNITS, billable_metric_code="tokens")
    assert made["billable_metric"] == subscribed.get("billable_metrics/tokens").json()["billable_metric"]
    changed = put(subscribed, billable_metric_code="calls").json()["alert"]
    assert (changed["lago_id"], changed["billable_metric"]["code"]) == (made["lago_id"], "calls")
    assert (
        post(subscribed, alert_type=UNITS, billable_metric_code="other").json()["code"] == "billable_metric_not_found"
    )


def test_the_list_begins_with_the_latest(subscribed: Api) -> None:
    make(subscribed)
    make(subscribed, code="tokens", alert_type=UNITS, billable_metric_code="tokens")
    page = subscribed.get("subscriptions/sub/alerts", per_page=1).json()
    assert ([one["code"] for one in page["alerts"]], page["meta"]["total_count"]) == (["tokens"], 2)


def test_all_are_deleted_together_and_those_of_others_stay(subscribed: Api) -> None:
    subscribe(subscribed, "more")
    make(subscribed)
    assert post(subscribed, "more").status_code == 200
    answer = subscribed.client.delete("subscriptions/sub/alerts")
    assert (answer.status_code, answer.content) == (200, b"")
    assert codes(subscribed) == []
    assert subscribed.get("subscriptions/more/alerts/spent").status_code == 200


def test_they_stay_for_the_next_subscription_of_the_external_id(subscribed: Api) -> None:
    make(subscribed)
    subscribed.client.delete("subscriptions/sub")
    assert subscribed.get("subscriptions/sub/alerts").json()["code"] == "subscription_not_found"
    assert subscribed.get("subscriptions/sub/alerts/spent", subscription_status="terminated").status_code == 200
    subscribe(subscribed)
    assert codes(subscribed) == ["spent"]


@pytest.mark.parametrize(
    ("fields", "details"),
    [
        ({"alert_type": "lifetime_usage_amount"}, {"alert_type": ["feature_not_available"]}),
        ({"alert_type": "billable_metric_lifetime_usage_units"}, {"alert_type": ["feature_not_available"]}),
        ({"alert_type": ...}, {"alert_type": ["value_is_mandatory", "value_is_invalid"]}),
        ({"alert_type": "wallet_balance_amount"}, {"alert_type": ["invalid_type"]}),
        ({"alert_type": "other"}, {"alert_type": ["invalid_type"]}),
        ({"code": ...}, {"code": ["value_is_mandatory"]}),
        ({"alert_type": UNITS}, {"billable_metric": ["value_is_mandatory"]}),
        ({"billable_metric_code": "tokens"}, {"billable_metric": ["value_must_be_blank"]}),
    ],
)
def test_what_an_alert_must_be(subscribed: Api, fields: dict[str, Any], details: dict[str, Any]) -> None:
    assert post(subscribed, **fields).json() == invalid(details)
    assert codes(subscribed) == []


@pytest.mark.parametrize(
    ("thresholds", "details"),
    [
        (..., {"thresholds": ["value_is_mandatory"]}),
        ([], {"thresholds": ["value_is_mandatory"]}),
        ("1000", {"thresholds": ["value_is_mandatory"]}),
        ([{"value": number} for number in range(21)], {"thresholds": ["too_many_thresholds"]}),
        ([{"value": 1}, {"value": 1}], {"thresholds": ["duplicate_threshold_values"]}),
        ([{"code": "much"}], {"thresholds:value": ["value_is_mandatory"]}),
        ([{"value": [1]}], {"thresholds:value": ["value_is_mandatory"]}),
        ([{"value": "much"}], {"thresholds:value": ["value_is_invalid"]}),
        ([{"value": ""}], {"thresholds:value": ["value_is_invalid"]}),
        ([{"value": True}], {"thresholds:value": ["value_is_invalid"]}),
        ([{"value": 0, "recurring": True}], {"thresholds:value": ["recurring_value_is_negative"]}),
        (
            [{"value": 1, "recurring": True}, {"value": 2, "recurring": "yes"}],
            {"base": ["alert_already_exists"]},
        ),
    ],
)
def test_what_its_thresholds_must_be(subscribed: Api, thresholds: Any, details: dict[str, Any]) -> None:
    assert post(subscribed, thresholds=thresholds).json() == invalid(details)
    made = make(subscribed)
    if isinstance(thresholds, list) and thresholds:
        assert put(subscribed, thresholds=thresholds).json() == invalid(details)
    assert subscribed.get("subscriptions/sub/alerts/spent").json()["alert"] == made


@pytest.mark.parametrize("threshold", [{"value": 1, "recurring": None}, {"value": "1e25"}])
def test_what_the_database_cannot_hold_is_a_crash(subscribed: Api, threshold: dict[str, Any]) -> None:
    assert post(subscribed, thresholds=[threshold]).status_code == 500
    assert codes(subscribed) == []


def test_the_same_value_may_be_there_once_and_again_and_again(subscribed: Api) -> None:
    thresholds = [{"value": 1}, {"value": 1, "recurring": True}, {"value": -5, "recurring": "off"}]
    made = make(subscribed, thresholds=thresholds)
    assert [one["recurring"] for one in made["thresholds"]] == [False, True, False]


def test_no_two_are_of_the_same_kind_or_code(subscribed: Api) -> None:
    make(subscribed)
    make(subscribed, code="tokens", alert_type=UNITS, billable_metric_code="tokens")
    assert post(subscribed, code="other").json() == invalid({"base": ["alert_already_exists"]})
    taken = {"alert_type": "billable_metric_current_usage_amount", "billable_metric_code": "tokens"}
    assert post(subscribed, **taken).json() == invalid({"code": ["value_already_exist"]})
    assert put(subscribed, code="tokens").json() == invalid({"code": ["value_already_exist"]})


def test_several_are_made_together_or_not_at_all(subscribed: Api) -> None:
    wrong = alert(code="tokens", alert_type=UNITS, billable_metric_code="other")
    again = alert(code="again", more="this is dropped")
    response = subscribed.post("subscriptions/sub/alerts", {"alerts": [alert(), wrong, again]})
    again.pop("more")
    assert response.json() == invalid(
        {
            "1": {"params": wrong, "errors": "billable_metric_not_found"},
            "2": {"params": again, "errors": 'Validation errors: {"base":["alert_already_exists"]}'},
        }
    )
    assert codes(subscribed) == []
    wrong["billable_metric_code"] = "tokens"
    made = subscribed.post("subscriptions/sub/alerts", {"alerts": [alert(), wrong]}).json()
    assert ([one["code"] for one in made["alerts"]], list(made)) == (["spent", "tokens"], ["alerts"])


def test_none_at_all_is_one_that_is_missing(subscribed: Api) -> None:
    assert subscribed.post("subscriptions/sub/alerts", {"alerts": []}).status_code == 400
    assert subscribed.post("subscriptions/sub/alerts", {"alerts": ["spent"]}).json() == invalid(
        {"alerts": ["no_alerts"]}
    )


def test_what_is_not_there_is_not_found(subscribed: Api) -> None:
    assert post(subscribed, "other").json()["code"] == "subscription_not_found"
    assert subscribed.client.delete("subscriptions/other/alerts").json()["code"] == "subscription_not_found"
    for method in ("GET", "PUT", "DELETE"):
        assert subscribed.client.request(method, "subscriptions/sub/alerts/x").json()["code"] == "alert_not_found"


def test_blank_is_as_if_it_were_absent(subscribed: Api) -> None:
    assert post(subscribed, code="  ").json() == invalid({"code": ["value_is_mandatory"]})
    assert post(subscribed, alert_type="  ").json() == invalid(
        {"alert_type": ["value_is_mandatory", "value_is_invalid"]}
    )
