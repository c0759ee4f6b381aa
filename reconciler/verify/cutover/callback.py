"""Events of LiteLLM's own `lago` callback: how they are known in Lago, and what Lago counts of them. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID

from reconciler.lago.shown import CALLBACKS_TOKENS, is_callbacks, name, timestamp_of, uuid_of, whole

_TOKENS = dict(zip(CALLBACKS_TOKENS, ("input_tokens", "output_tokens", "total_tokens"), strict=True))

_LONGEST_NUMBER = 400
"""Characters; a double's plain notation is shorter."""


@dataclass(frozen=True)
class CallbackEvent:
    """One event of the callback's.

    Attributes:
        id: its random id.
        code: of its billable metric.
        subscription: whom it was sent for; the callback sends the customer's own name.
        moment: when Lago took it; the callback sends no time.
        model: as the callback calls it.
        input_tokens: prompt tokens; None where the callback sends none. So for the other two.
        cost: USD; None if LiteLLM had no price.
    """

    id: UUID
    code: str
    subscription: str
    moment: datetime
    model: str
    input_tokens: int | None
    output_tokens: int | None
    total_tokens: int | None
    cost: Decimal | None


def read(event: Mapping[str, Any], computed: str | None = None) -> CallbackEvent | None:
    """An event of the callback's; None if it is another's, or says no time or subscription."""
    id_, moment, subscription = uuid_of(event), timestamp_of(event), name(event.get("external_subscription_id"))
    if id_ is None or moment is None or subscription is None or not is_callbacks(event, computed):
        return None
    said = event["properties"]
    tokens = {ours: whole(said.get(theirs)) for theirs, ours in _TOKENS.items()}
    return CallbackEvent(
        id=id_,
        code=str(event.get("code")),
        subscription=subscription,
        moment=moment,
        model=name(said["model"]) or "",
        cost=_cost(said["response_cost"]),
        **tokens,
    )


def needed(metric: Mapping[str, Any] | None) -> str | None:
    """The property without which Lago counts nothing of an event; None if it counts every one.

    Args:
        metric: the billable metric of the callback's code; None if there is none: it counts nothing until there is one.
    """
    if metric is None or metric.get("aggregation_type") == "count_agg" or metric.get("expression"):
        return None
    return str(metric.get("field_name"))


def counted_by(needs: str | None) -> str | None:
    """The column of the ledger's callback_event that has to be there for Lago to count it.

    Returns:
        None if each event counts, `""` if none does.
    """
    columns = {**_TOKENS, "response_cost": "cost", "model": "model"}
    return None if needs is None else columns.get(needs, "")


def _cost(value: object) -> Decimal | None:
    """A JSON number, or as ClickHouse shows one: its text, perhaps with an exponent."""
    text = str(value)
    if isinstance(value, bool) or len(text) > _LONGEST_NUMBER:
        return None
    try:
        cost = Decimal(text)
    except InvalidOperation:
        return None
    return cost if cost.is_finite() and abs(cost.adjusted()) < _LONGEST_NUMBER else None
