"""The stand-in's own totals, for proofs: all that counts, whatever its subscription, period or plan."""

from collections import defaultdict
from decimal import Decimal
from typing import Any

from reconciler.sandbox.grammar import EXACT, plain, property_text
from reconciler.sandbox.stores.store import EventFilter, Store

_Group = tuple[str | None, ...]


def totals(store: Store, organization: str) -> list[dict[str, Any]]:
    """Sum every numeric property of all events that count, whatever their subscription, metric, period or plan.

    An event that a ClickHouse without deduplication bills twice is here twice.

    Returns:
        For each subscription, code and property `model`: how many `events`, and their exact `sums` as text.
    """
    events: dict[_Group, int] = defaultdict(int)
    sums: dict[_Group, dict[str, Decimal]] = defaultdict(dict)
    for event in store.counted(EventFilter(organization), dead_letters=True):
        properties = event.decoded()
        group = (event.subscription, event.code, property_text(properties.get("model")))
        events[group] += 1
        for name, value in properties.items():
            number = store.number(value)
            if number is not None:
                sums[group][name] = EXACT.add(sums[group].get(name, Decimal(0)), number)
    return [
        {
            "external_subscription_id": subscription,
            "code": code,
            "model": model,
            "events": events[subscription, code, model],
            "sums": {name: plain(total) for name, total in sorted(sums[subscription, code, model].items())},
        }
        for subscription, code, model in sorted(
            events, key=lambda group: [(text is not None, text or "") for text in group]
        )
    ]
