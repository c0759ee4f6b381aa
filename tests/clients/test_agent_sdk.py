"""Lago's own agent SDK against the stand-in: what it sends, and what becomes of it when something goes wrong."""

import importlib
import inspect
import sys
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import httpx
import pytest
from lago_agent_sdk import CanonicalUsage, LagoConfig, LagoSDK, PricingProvider
from lago_agent_sdk.gateway.databricks import DatabricksUsageRow
from lago_agent_sdk.gateway.snowflake import SnowflakeUsageRow
from lago_agent_sdk.pricing import parse_openrouter

from reconciler.sandbox import Sandbox

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
USAGE = CanonicalUsage(input=10, output=20, model="gpt-4o-mini", provider="openai", api="chat")
OF_USAGE = [("sub", "llm_input_tokens", "10"), ("sub", "llm_output_tokens", "20")]
"""What `told` says of it."""


class Prices:
    """A price list that needs no network; the SDK asks for this one alone."""

    def fetch_openrouter(self) -> Any:
        pricing = {"prompt": "0.00000015", "completion": "0.0000006"}
        return parse_openrouter({"data": [{"id": "openai/gpt-4o-mini", "pricing": pricing}]})


Start = Callable[..., LagoSDK]


@pytest.fixture
def start(lago: Sandbox) -> Iterator[Start]:
    """A function: starts an SDK on the stand-in, its configuration changed."""
    started = []

    def start(**changes: Any) -> LagoSDK:
        options: dict[str, Any] = {
            "api_url": f"{lago.url}/api/v1",
            "default_subscription_id": "sub",
            "flush_interval_seconds": 0.02,
            "pricing_provider": PricingProvider(fetcher=Prices()),
        }
        sdk = LagoSDK(lago.api_key, config=LagoConfig(**options | changes))
        started.append(sdk)
        return sdk

    yield start
    lago.clear_faults()
    for sdk in started:
        sdk.shutdown()


@pytest.fixture
def sdk(start: Start) -> LagoSDK:
    return start()


def told(lago: Sandbox) -> list[tuple[str, str, str]]:
    """Of each event the subscription, the code and what it counts."""
    events = lago.events()
    return sorted((e["external_subscription_id"], e["code"], e["properties"]["value"]) for e in events)


def batches(lago: Sandbox) -> list[tuple[int | None, int]]:
    """The status of each batch and its number of events."""
    return [(one["status"], one["events"]) for one in lago.requests() if one["path"] == "/api/v1/events/batch"]


def test_every_method_is_tried() -> None:
    here = inspect.getsource(sys.modules[__name__])
    methods = {name for name, value in vars(LagoSDK).items() if callable(value) and not name.startswith("_")}
    assert {name for name in methods if f"sdk.{name}(" not in here} == set()
    assert len(methods) >= 9


def test_usage_is_an_event_for_each_kind_of_token(sdk: LagoSDK, lago: Sandbox) -> None:
    sdk.emit(USAGE, dimensions={"team": "a"}, timestamp=NOON)
    assert sdk.flush()
    assert told(lago) == OF_USAGE
    for event in lago.events():
        assert event["timestamp"] == "2026-11-23T12:00:00.000Z"
        assert str(uuid.UUID(event["transaction_id"], version=4)) == event["transaction_id"]
        labels = {"model": "gpt-4o-mini", "provider": "openai", "api": "chat", "team": "a"}
        assert event["properties"] == labels | {"value": event["properties"]["value"]}
    assert batches(lago) == [(200, 2)]


def test_the_subscription_is_the_calls_the_contexts_or_the_default(sdk: LagoSDK, lago: Sandbox) -> None:
    usage = CanonicalUsage(input=1)
    sdk.emit(usage)
    token = sdk.set_subscription("context")
    sdk.emit(usage)
    sdk.emit(usage, subscription="call")
    sdk.reset_subscription(token)
    sdk.emit(usage)
    assert sdk.flush()
    assert [one[0] for one in told(lago)] == ["call", "context", "sub", "sub"]


def test_a_known_cost_is_one_event_with_precise_cents(sdk: LagoSDK, lago: Sandbox) -> None:
    sdk.emit(USAGE, mode="price", usd_cost=0.0000135, event_id="log-1", markup=1.2)
    assert sdk.flush()
    [event] = lago.events()
    assert (event["transaction_id"], event["code"]) == ("log-1", "llm_cost")
    assert Decimal(event["precise_total_amount_cents"]) == Decimal("0.00162")
    assert event["properties"]["unit"] == "30"


def test_a_price_is_an_event_for_each_kind_of_token(start: Start, lago: Sandbox) -> None:
    sdk = start(pricing_mode="price")
    sdk.warm_pricing()
    sdk.emit(USAGE)
    assert sdk.flush()
    cents = {e["properties"]["token_type"]: Decimal(e["precise_total_amount_cents"]) for e in lago.events()}
    assert cents == {"input": Decimal("0.00015"), "output": Decimal("0.0012")}


@pytest.mark.proof
def test_a_wrapped_client_is_billed_by_what_the_provider_answered(sdk: LagoSDK, lago: Sandbox) -> None:
    openai: Any = importlib.import_module("openai")

    def answer(_request: httpx.Request) -> httpx.Response:
        message = {"role": "assistant", "content": "hello"}
        usage = {"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30}
        body = {"id": "x", "object": "chat.completion", "created": 1, "model": "gpt-4o-mini", "usage": usage}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        return httpx.Response(200, json=body | {"choices": [choice]})

    with openai.OpenAI(api_key="none", http_client=httpx.Client(transport=httpx.MockTransport(answer))) as provider:
        client = sdk.wrap(provider, subscription="wrapped")
        client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": "hi"}])
    assert sdk.flush()
    assert told(lago) == [("wrapped", "llm_input_tokens", "10"), ("wrapped", "llm_output_tokens", "20")]


def test_a_backfill_once_more_bills_nothing_twice(sdk: LagoSDK, lago: Sandbox) -> None:
    rows = [
        DatabricksUsageRow(USAGE, "sub", "1", "usage", raw={"event_time": "2026-11-23T12:00:00Z"}),
        DatabricksUsageRow(USAGE, "sub", "2", "spend", usd_cost=0.0000135, raw={"bucket": "2026-11-23T12:00:00Z"}),
        DatabricksUsageRow(USAGE, None, "3", "usage"),
    ]
    for _ in range(2):
        assert sdk.backfill_databricks(rows) == {"cost": 1, "tokens": 1, "skipped": 1, "deferred": 0}
        assert sdk.flush()
    assert {(e["transaction_id"], e["timestamp"]) for e in lago.events()} == {
        (f"dbx_{name}", "2026-11-23T12:00:00.000Z")
        for name in ("usage_sub_1_tok_input", "usage_sub_1_tok_output", "spend_sub_2")
    }
    # The second batch is refused as a whole, and then its events one by one.
    assert batches(lago) == [(200, 3), (422, 3), (422, 1), (422, 1), (422, 1)]


def test_a_backfill_names_its_rows_by_the_subscription(sdk: LagoSDK, lago: Sandbox) -> None:
    row = SnowflakeUsageRow(CanonicalUsage(input=5, provider="snowflake"), None, "7", "functions")
    for customer in ("acme", "globex"):
        assert sdk.backfill_snowflake([row], default_subscription=customer) == {"tokens": 1, "skipped": 0}
    assert sdk.flush()
    assert told(lago) == [("acme", "llm_input_tokens", "5"), ("globex", "llm_input_tokens", "5")]
    assert len({event["transaction_id"] for event in lago.events()}) == 2


def test_what_is_left_is_sent_on_shutdown(start: Start, lago: Sandbox) -> None:
    sdk = start(flush_interval_seconds=60)
    sdk.emit(USAGE)
    sdk.shutdown()
    assert len(lago.events()) == 2


FAULTS: dict[str, dict[str, Any]] = {
    "away": {"kind": "status", "status": 500},
    "wrong key": {"kind": "status", "status": 401},
    "too fast": {"kind": "status", "status": 429, "headers": {"X-RateLimit-Reset": "86400"}},
    "cut off": {"kind": "drop"},
}


def test_what_had_no_effect_is_sent_again_whatever_lago_says_of_rates(start: Start, lago: Sandbox) -> None:
    lago.faults(*(fault | {"external_subscription_id": customer} for customer, fault in FAULTS.items()))
    errors: list[str] = []
    sdks = [start(default_subscription_id=one, on_error=lambda _error, where: errors.append(where)) for one in FAULTS]
    for sdk in sdks:
        sdk.emit(USAGE)
    for sdk in sdks:
        assert sdk.flush(timeout=60), "it waits its own second"
    assert told(lago) == sorted((customer, code, value) for customer in FAULTS for _, code, value in OF_USAGE)
    assert errors == ["send_batch"] * 4
    for customer, fault in FAULTS.items():
        ids = {event["transaction_id"] for event in lago.events() if event["external_subscription_id"] == customer}
        assert [one["status"] for one in lago.requests() if set(one["ids"]) == ids] == [fault.get("status"), 200]


def test_what_was_stored_unnoticed_is_sent_again_and_refused(start: Start, lago: Sandbox) -> None:
    sdk = start()
    lago.faults({"kind": "commit_then_500"})
    sdk.emit(USAGE)
    assert sdk.flush(timeout=60)
    assert told(lago) == OF_USAGE, "its ids are random, yet the same in the second attempt"
    assert batches(lago) == [(500, 2), (422, 2), (422, 1), (422, 1)]


def test_on_clickhouse_that_is_billed_once_with_deduplication_only() -> None:
    with Sandbox(store="clickhouse") as lago:
        for code in ("llm_input_tokens", "llm_output_tokens"):
            metric = {"name": code, "code": code, "aggregation_type": "sum_agg", "field_name": "value"}
            headers = {"Authorization": f"Bearer {lago.api_key}"}
            url = f"{lago.url}/api/v1/billable_metrics"
            httpx.post(url, json={"billable_metric": metric}, headers=headers).raise_for_status()
        lago.faults({"kind": "commit_then_500"})
        sdk = LagoSDK(lago.api_key, f"{lago.url}/api/v1", "sub")
        sdk.emit(USAGE)
        assert sdk.flush(timeout=60)
        sdk.shutdown()
        assert batches(lago) == [(500, 2), (200, 2)]
        assert [total["sums"]["value"] for total in lago.totals()] == ["10", "20"]
        lago.clickhouse(deduplication=False)
        assert [total["sums"]["value"] for total in lago.totals()] == ["20", "40"]


def test_one_bad_event_does_not_keep_others_from_lago(sdk: LagoSDK, lago: Sandbox) -> None:
    sdk.emit(CanonicalUsage(input=1), event_id="taken")
    assert sdk.flush()
    sdk.emit(CanonicalUsage(input=2), event_id="taken")
    sdk.emit(CanonicalUsage(input=3), event_id="new")
    assert sdk.flush()
    assert [value for _, _, value in told(lago)] == ["1", "3"]


def test_a_gateways_page_is_a_yes_to_it(sdk: LagoSDK, lago: Sandbox) -> None:
    lago.faults({"kind": "html"})
    sdk.emit(USAGE)
    assert sdk.flush()
    assert (lago.events(), batches(lago)) == ([], [(200, 2)]), "what it took for delivered is lost"
