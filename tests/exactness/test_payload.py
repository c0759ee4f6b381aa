"""The payload is the text of design section 6, byte by byte: what was planned is what Lago gets."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from reconciler.model.identity import transaction_id
from reconciler.model.windows import last_millisecond, window_name
from reconciler.sandbox import Sandbox
from tests.conftest import Database, spend_row
from tests.support import CODE, counted, environment, reconcile

START = datetime(2026, 11, 23, 12, tzinfo=UTC)
MODEL = "openai/gpt-4o-mini"


def bill(database: Database, lago: Sandbox, **settings: str) -> None:
    reconcile(environment(database, lago) | settings, since="2026-11-23", until="2026-11-24")


def payloads(ledger: Database) -> dict[str, str]:
    """Frozen payloads by customer."""
    return dict(ledger.fetch("SELECT customer, payload FROM reconciler.event WHERE revision = 0"))


def as_designed(customer: str, cost: str, tokens: dict[str, int] | None = None, **more: Any) -> str:
    """The text for one request of 10 + 20 tokens at `START`, written by Python's JSON."""
    event = {
        "transaction_id": transaction_id("default", CODE, "end_user_id", START, 900, customer, MODEL, 0),
        "external_subscription_id": customer,
        "code": CODE,
        "timestamp": "1795436099.999",
        **more,
        "properties": {
            **(tokens or {"input_tokens": 10, "output_tokens": 20}),
            "model": MODEL,
            "response_cost": cost,
            "requests": 1,
            "customer": customer,
            "meter": "default",
            "window": "2026-11-23T12:00:00Z/PT15M",
            "revision": 0,
        },
    }
    return json.dumps(event, ensure_ascii=False, separators=(",", ":"))


CUSTOMERS = [
    "acme", "o'hara \"q\" \\", "🦊 Füchse", " acme", "a\nb\t\r\b\f\x01\x1f\x7f\x85\u2028</script>", "null", "x" * 2048,
]  # fmt: skip


def test_has_the_designed_bytes(proxy_db: Database, lago: Sandbox) -> None:
    proxy_db.insert(*(spend_row(end_user=customer, startTime=START) for customer in CUSTOMERS))
    bill(proxy_db, lago)
    assert payloads(proxy_db) == {customer: as_designed(customer, "0.0000135") for customer in CUSTOMERS}
    events = {event["external_subscription_id"]: event for event in lago.events()}
    assert events.keys() == set(CUSTOMERS)
    for customer, event in events.items():
        assert event["properties"] == json.loads(as_designed(customer, "0.0000135"))["properties"]
        assert event["timestamp"] == "2026-11-23T12:14:59.999Z"


SPENDS = [
    1e-07, 1.35e-05, 5e-324, 2.2250738585072014e-308, 0.1 + 0.2, 1 / 3, 2.675, 1e15, 1e16, 1e22,
    1.7976931348623157e308, 9007199254740993.0, 123456789.12345679, 100.0, 1.0, 0.0,
]  # fmt: skip


def test_money_is_plain_decimal_text_and_never_rounded(proxy_db: Database, lago: Sandbox) -> None:
    spends = {f"pays {spend!r}": spend for spend in SPENDS}
    rows = [spend_row(end_user=customer, spend=spend, startTime=START) for customer, spend in spends.items()]
    proxy_db.insert(*rows)
    bill(proxy_db, lago)
    for customer, payload in payloads(proxy_db).items():
        plain = f"{Decimal(repr(spends[customer])):f}"
        plain = plain.rstrip("0").rstrip(".") if "." in plain else plain
        assert payload == as_designed(customer, plain)
    assert {customer: usage.cost for (customer, _), usage in counted(lago).items()} == {
        customer: Decimal(repr(spend)) for customer, spend in spends.items()
    }


def test_sums_are_decimal_whatever_binary_floats_would_give(proxy_db: Database, lago: Sandbox) -> None:
    spends = [0.1] * 10 + [1e16, 1.0, 3e-07, 1e-07]
    proxy_db.insert(*(spend_row(spend=spend, startTime=START) for spend in spends))
    bill(proxy_db, lago)
    payload = json.loads(payloads(proxy_db)["acme"])
    assert payload["properties"]["response_cost"] == "10000000000000002.0000004"
    assert counted(lago)["acme", MODEL].cost == sum(map(Decimal, map(repr, spends)))


@pytest.mark.parametrize(
    ("names", "tokens"),
    [
        ("documented", {"input_tokens": 10, "output_tokens": 20}),
        ("callback", {"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30}),
        (
            "both",
            {
                "input_tokens": 10,
                "output_tokens": 20,
                "prompt_tokens": 10,
                "completion_tokens": 20,
                "total_tokens": 30,
            },
        ),
    ],
)
def test_tokens_have_the_names_that_the_metrics_know(
    proxy_db: Database, lago: Sandbox, names: str, tokens: dict[str, int]
) -> None:
    proxy_db.insert(spend_row(startTime=START))
    bill(proxy_db, lago, RECONCILE_PROPERTIES=names)
    assert payloads(proxy_db) == {"acme": as_designed("acme", "0.0000135", tokens)}
    sums = lago.totals()[0]["sums"]
    assert {name: int(sums[name]) for name in tokens} == tokens


def test_cents_for_dynamic_charges_are_exact(proxy_db: Database, lago: Sandbox) -> None:
    proxy_db.insert(spend_row(startTime=START), spend_row(end_user="free", spend=0.0, startTime=START))
    bill(proxy_db, lago, RECONCILE_PRECISE_CENTS="true")
    assert payloads(proxy_db) == {
        "acme": as_designed("acme", "0.0000135", precise_total_amount_cents="0.00135"),
        "free": as_designed("free", "0", precise_total_amount_cents="0"),
    }
    assert {event["precise_total_amount_cents"] for event in lago.events()} == {"0.00135", "0.0"}


def test_a_very_old_lago_gets_the_field_that_it_knows(proxy_db: Database, lago: Sandbox) -> None:
    proxy_db.insert(spend_row(startTime=START))
    bill(proxy_db, lago, RECONCILE_EVENT_FIELD="external_customer_id")
    renamed = as_designed("acme", "0.0000135").replace("external_subscription_id", "external_customer_id")
    assert payloads(proxy_db) == {"acme": renamed}


@pytest.mark.parametrize(("length", "seconds"), [("1m", 60), ("1h", 3600), ("1d", 86_400)])
def test_the_timestamp_is_the_last_millisecond_of_the_window(
    proxy_db: Database, lago: Sandbox, length: str, seconds: int
) -> None:
    moment, window = datetime(2026, 11, 23, 17, 59, 59, 999000, tzinfo=UTC), timedelta(seconds=seconds)
    proxy_db.insert(spend_row(startTime=moment))
    bill(proxy_db, lago, RECONCILE_WINDOW=length)
    payload = json.loads(payloads(proxy_db)["acme"])
    [(start,)] = proxy_db.fetch("SELECT window_start AT TIME ZONE 'UTC' FROM reconciler.event")
    start = start.replace(tzinfo=UTC)
    assert start <= moment < start + window
    assert payload["timestamp"] == last_millisecond(start, window)
    assert payload["properties"]["window"] == window_name(start, window)
