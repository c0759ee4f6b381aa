"""What Lago is known to choke on or to count wrongly: told before it is sent (facts: lago sections 1.1, 2 and 6.3)."""

from decimal import Decimal
from json import loads
from typing import Any

from reconciler.lago.client import Store
from reconciler.ledger.outbox import Event

_LONGEST_KEY = 2704
"""Bytes of Lago's unique index: organization, subscription and id; Postgres holds no longer entry."""

_ORGANIZATION = 16
_CLICKHOUSE_LIMIT = Decimal(10) ** 12
"""ClickHouse counts in Decimal128 with 26 decimals; what doesn't fit counts as 0."""

_MEASURES = (
    "response_cost", "input_tokens", "output_tokens", "prompt_tokens", "completion_tokens", "total_tokens", "requests",
)  # fmt: skip


def unsendable(event: Event, store: Store) -> str | None:
    """Say why Lago can't take an event, or None."""
    key = _ORGANIZATION + len(event.transaction_id) + len(event.subscription.encode())
    if key > _LONGEST_KEY and store != "clickhouse":
        return (
            f"its subscription's name has {len(event.subscription.encode())} bytes, Lago's index takes "
            f"{_LONGEST_KEY - _ORGANIZATION - len(event.transaction_id)}"
        )
    if "\\u0000" in event.payload and "\x00" in _texts(loads(event.payload)):
        return "it holds a NUL character, which Lago's database can't store"
    if store == "clickhouse":
        properties = loads(event.payload)["properties"]
        for name in _MEASURES:
            if Decimal(properties.get(name, 0)) >= _CLICKHOUSE_LIMIT:
                return f"{name} is {properties[name]}: from 1,000,000,000,000 on Lago's ClickHouse counts 0"
    return None


def _texts(sent: dict[str, Any]) -> str:
    return "".join(map(str, (*sent.values(), *sent["properties"].values())))
