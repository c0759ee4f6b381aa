"""What LiteLLM's own `lago` callback sends, as the stand-in takes it: the events that an operator has today."""

import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest

from reconciler.sandbox import Sandbox
from tests.clients.conftest import CUSTOMER, Callback
from tests.conftest import Database, spend_row
from tests.support import CODE, environment, reconcile

pytestmark = pytest.mark.proof

CHAT = {"model": "openai/gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}], "mock_response": "hello"}
EMBEDDING = {"model": "openai/text-embedding-3-small", "input": ["hi"], "mock_response": [0.1, 0.2], "api_key": "none"}
TOKENS = {"prompt_tokens", "completion_tokens", "total_tokens"}


def only_event(lago: Sandbox) -> dict[str, Any]:
    """The one event that has come, or is about to: after a stream LiteLLM logs from another thread."""
    deadline = time.monotonic() + 60
    while not lago.events() and time.monotonic() < deadline:
        time.sleep(0.01)
    [event] = lago.events()
    return event


def test_a_completion_is_one_event_with_the_callbacks_names(litellm: Callback, lago: Sandbox) -> None:
    before = time.time() - 1
    told = litellm("acompletion", **CHAT, **CUSTOMER)

    event = only_event(lago)
    assert (event["external_subscription_id"], event["code"]) == ("acme", CODE)
    usage = {name: told["answer"]["usage"][name] for name in TOKENS}
    assert event["properties"] == {"model": "gpt-4o-mini", "response_cost": 1.35e-05, **usage}
    assert usage == {"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30}

    assert str(uuid.UUID(event["transaction_id"], version=4)) == event["transaction_id"]
    received = datetime.fromisoformat(event["timestamp"]).timestamp()
    assert before <= received <= time.time(), "it sends no timestamp, so Lago takes the time of receipt"
    assert [(one["method"], one["path"]) for one in lago.requests()] == [("POST", "/api/v1/events")]


@pytest.mark.parametrize(
    ("function", "arguments", "properties"),
    [
        ("acompletion", CHAT | {"stream": True}, TOKENS),
        ("aembedding", EMBEDDING, TOKENS),
        ("atext_completion", {"model": "openai/gpt-3.5-turbo-instruct", "prompt": "hi", "mock_response": "x"}, set()),
        ("aresponses", {"model": "openai/gpt-4o-mini", "input": "hi", "mock_response": "x"}, set()),
    ],
)
def test_other_endpoints_are_one_event_of_which_some_lack_their_tokens(
    litellm: Callback, lago: Sandbox, function: str, arguments: Mapping[str, Any], properties: set[str]
) -> None:
    litellm(function, **arguments, **CUSTOMER)
    assert set(only_event(lago)["properties"]) == {"model", "response_cost"} | properties


@pytest.mark.parametrize(
    ("charge_by", "subscription"), [("end_user_id", "acme"), ("user_id", "u-1"), ("team_id", "team-a")]
)
def test_the_subscription_is_what_is_charged_by(
    litellm: Callback, lago: Sandbox, charge_by: str, subscription: str
) -> None:
    identity = {"user_api_key_user_id": "u-1", "user_api_key_team_id": "team-a"}
    litellm("acompletion", charge_by=charge_by, metadata=identity, **CHAT, **CUSTOMER)
    assert only_event(lago)["external_subscription_id"] == subscription


def test_the_same_request_once_more_is_another_id(litellm: Callback, lago: Sandbox) -> None:
    for _ in range(2):
        litellm("acompletion", **CHAT, **CUSTOMER)
    assert len({event["transaction_id"] for event in lago.events()}) == 2


@pytest.mark.parametrize(
    ("arguments", "logged"),
    [
        ({"user": "acme"}, "External Customer ID is not set"),  # LiteLLM's documented example
        ({"charge_by": "customer", **CUSTOMER}, "invalid LAGO_API_CHARGE_BY"),
    ],
)
def test_usage_without_a_customer_that_it_sees_is_lost(
    litellm: Callback, lago: Sandbox, arguments: Mapping[str, Any], logged: str
) -> None:
    told = litellm("acompletion", **CHAT, **arguments)
    assert logged in told["logged"][0]
    assert (told["answer"]["usage"]["total_tokens"], told["raised"], lago.requests()) == (30, None, [])


def test_a_failed_request_is_no_event(litellm: Callback, lago: Sandbox) -> None:
    told = litellm("acompletion", **CHAT | {"mock_response": "litellm.InternalServerError"}, **CUSTOMER)
    assert "mock internal server error" in told["raised"]
    assert lago.requests() == []


@pytest.mark.parametrize(
    ("fault", "events"),
    [
        ({"kind": "status", "status": 429, "headers": {"X-RateLimit-Reset": "0"}}, 0),
        ({"kind": "status", "status": 500}, 0),
        ({"kind": "commit_then_500"}, 1),
        ({"kind": "commit_then_drop"}, 1),
    ],
)
def test_whatever_goes_wrong_is_tried_once_and_only_logged(
    litellm: Callback, lago: Sandbox, fault: dict[str, Any], events: int
) -> None:
    lago.faults(fault)
    told = litellm("acompletion", **CHAT, **CUSTOMER)
    assert (told["answer"]["usage"]["total_tokens"], told["raised"]) == (30, None)
    assert "[Non-Blocking]" in told["logged"][0]
    assert (len(lago.requests()), len(lago.events())) == (1, events)


def test_while_lago_is_away_it_loses_what_it_should_have_sent(litellm: Callback, lago: Sandbox) -> None:
    with Sandbox() as gone:
        pass
    told = litellm("acompletion", base=gone.url, **CHAT, **CUSTOMER)
    assert (told["answer"]["usage"]["total_tokens"], len(told["logged"])) == (30, 1)
    litellm("acompletion", **CHAT, **CUSTOMER)
    assert len(lago.events()) == 1


def provision(lago: Sandbox, field: str, *customers: str) -> None:
    """Make a metric over that property, as an operator of the callback has it, and subscribe to it."""
    client = httpx.Client(
        base_url=f"{lago.url}/api/v1/", headers={"Authorization": f"Bearer {lago.api_key}"}, trust_env=False
    )
    with client:
        metric = {"name": field, "code": CODE, "aggregation_type": "sum_agg", "field_name": field}
        made = client.post("billable_metrics", json={"billable_metric": metric}).json()["billable_metric"]
        charge = {
            "billable_metric_id": made["lago_id"],
            "charge_model": "standard",
            "properties": {"amount": "1"},
        }
        plan = {"name": "LLM", "code": "llm", "interval": "yearly", "amount_cents": 0, "amount_currency": "USD"}
        client.post("plans", json={"plan": plan | {"pay_in_advance": False, "charges": [charge]}}).raise_for_status()
        start = (datetime.now(UTC) - timedelta(days=1)).isoformat()
        for customer in customers:
            subscription = {"external_customer_id": customer, "plan_code": "llm", "external_id": customer}
            body = {"subscription": subscription | {"subscription_at": start}}
            client.post("subscriptions", json=body).raise_for_status()


def units(lago: Sandbox, customer: str) -> Decimal:
    answer = httpx.get(
        f"{lago.url}/api/v1/customers/{customer}/current_usage",
        params={"external_subscription_id": customer},
        headers={"Authorization": f"Bearer {lago.api_key}"},
        trust_env=False,
    )
    [charge] = answer.json()["customer_usage"]["charges_usage"]
    return Decimal(charge["units"])


@pytest.mark.parametrize("field", ["response_cost", "total_tokens"])
def test_a_metric_made_for_the_callback_counts_our_events_the_same(
    litellm: Callback, lago: Sandbox, proxy_db: Database, field: str
) -> None:
    provision(lago, field, "acme", "reconciled")
    for model in ("openai/gpt-4o", "openai/gpt-4o-mini", "openai/gpt-4o-mini"):
        litellm("acompletion", **CHAT | {"model": model}, **CUSTOMER)
    used = [event["properties"] for event in lago.events()]
    written = datetime.now(UTC) - timedelta(seconds=90)  # the proxy's rows of the same requests
    for properties in used:
        tokens = {name: properties[name] for name in ("prompt_tokens", "completion_tokens")}
        cost, model = properties["response_cost"], properties["model"]
        proxy_db.insert(spend_row(end_user="reconciled", startTime=written, spend=cost, model=model, **tokens))

    variables = environment(proxy_db, lago, RECONCILE_WINDOW="1m", RECONCILE_SETTLE="10s")
    reconcile(variables | {"RECONCILE_PROPERTIES": "callback"}, since="5m")

    expected = sum(Decimal(str(properties[field])) for properties in used)
    assert (len(used), units(lago, "acme"), units(lago, "reconciled")) == (3, expected, expected)
    sums = {
        customer: {
            total["model"]: {name: total["sums"][name] for name in TOKENS | {"response_cost"}}
            for total in lago.totals()
            if total["external_subscription_id"] == customer
        }
        for customer in ("acme", "reconciled")
    }
    assert sums["reconciled"] == sums["acme"], "and so would a metric over any other of its properties"
