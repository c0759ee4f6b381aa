"""Which of Lago's events a meter's ledger once sent, and what they were: all of it is in the event. Pure.

The id follows from what an event bills. So who computes it again knows that it is a ledger's, and by which charge-by.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal, localcontext
from typing import Any

from reconciler.lago.shown import exact, key_of, timestamp_of
from reconciler.lago.subscriptions import storable
from reconciler.model import windows
from reconciler.model.durations import iso_duration
from reconciler.model.identity import transaction_id
from reconciler.model.money import plain
from reconciler.model.terms import ChargeBy

MEASURES = frozenset({
    "input_tokens", "output_tokens", "prompt_tokens", "completion_tokens", "response_cost", "requests",
})  # fmt: skip
"""The properties that say how much an event bills."""

_ISO = re.compile(r"P(?:([0-9]{1,3})D)?(?:T(?:([0-9]{1,5})H)?(?:([0-9]{1,5})M)?(?:([0-9]{1,5})S)?)?")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_STORED = Decimal("1e-15")
"""What Lago keeps of an amount in cents (facts: lago section 1.1)."""


@dataclass(frozen=True)
class Taken:
    """An event as the ledger has it, and by which terms it was billed.

    Attributes:
        window_start: the window.
        window_seconds: its length.
        code: of the event.
        charge_by: who was billed.
        bucket: the bucket's hash.
        revision: the event's.
        customer: the value of the charge-by column.
        model: the value of the model column.
        input_tokens: prompt tokens.
        output_tokens: completion tokens.
        cost: USD.
        requests: rows of the spend table.
        subscription: whose subscription Lago counts it for.
        payload: the event's text, as it would be sent.
    """

    window_start: datetime
    window_seconds: int
    code: str
    charge_by: str
    bucket: bytes
    revision: int
    customer: str
    model: str
    input_tokens: int
    output_tokens: int
    cost: Decimal
    requests: int
    subscription: str
    payload: str


def read(event: Mapping[str, Any], meter: str, *, template: str) -> Taken | None:
    """What an event under a meter's name was to its ledger; None if no ledger of that meter can have sent it.

    Args:
        event: as Lago shows it; on ClickHouse all properties are text.
        meter: the meter's name.
        template: what a customer's subscription is called; a very old Lago shows none.
    """
    properties, key, moment = event["properties"], key_of(event), timestamp_of(event)
    if key is None or moment is None or not isinstance(code := event.get("code"), str):
        return None
    start, bucket, revision = key
    seconds = _seconds(str(properties["window"]).partition("/")[2])
    customer, model = properties["customer"], properties["model"]
    try:
        if windows.window_name(start, timedelta(seconds=seconds)) != properties["window"]:
            return None
        fields = start, seconds, customer, model, revision
        ids = {transaction_id(meter, code, by, *fields): by.value for by in ChargeBy}
    except ValueError:
        return None
    charge_by = ids.get(str(event.get("transaction_id")))
    measures = _measures(properties)
    shown = event.get("external_subscription_id")
    subscription = shown if isinstance(shown, str) and shown else template.replace("{id}", customer)
    if charge_by is None or measures is None or not storable(subscription):
        return None
    taken = {"transaction_id": event["transaction_id"]}
    taken["external_subscription_id" if shown else "external_customer_id"] = subscription
    taken |= {"code": code, "timestamp": _stamp(moment)}
    if (cents := _cents(measures["response_cost"], event.get("precise_total_amount_cents"))) is not None:
        taken["precise_total_amount_cents"] = cents
    own = _own_properties(properties, measures) | {"customer": customer, "meter": meter}
    own |= {"window": properties["window"], "revision": revision}
    return Taken(
        window_start=start.astimezone(UTC),
        window_seconds=seconds,
        code=code,
        charge_by=charge_by,
        bucket=bucket,
        revision=revision,
        customer=customer,
        model=model,
        input_tokens=int(measures["input_tokens"]),
        output_tokens=int(measures["output_tokens"]),
        cost=measures["response_cost"],
        requests=int(measures["requests"]),
        subscription=subscription,
        payload=json.dumps(taken | {"properties": own}, ensure_ascii=False, separators=(",", ":")),
    )


def _measures(properties: Mapping[str, Any]) -> dict[str, Decimal] | None:
    """How much an event bills, or takes back if it moves usage away; None if it does not say that as we do."""
    named = {
        "input_tokens": ("input_tokens", "prompt_tokens"),
        "output_tokens": ("output_tokens", "completion_tokens"),
        "requests": ("requests",),
        "response_cost": ("response_cost",),
    }
    measures: dict[str, Decimal] = {}
    for measure, names in named.items():
        said = {exact(properties[name]) for name in names if name in properties}
        if len(said) != 1 or (number := said.pop()) is None:
            return None
        if measure != "response_cost" and (number != int(number) or abs(number) >= 2**63):
            return None
        measures[measure] = number
    return measures if min(measures.values()) >= 0 or max(measures.values()) <= 0 else None


def _own_properties(properties: Mapping[str, Any], measures: Mapping[str, Decimal]) -> dict[str, Any]:
    """The measures under the names that the event has, in the order and of the types in which they are sent."""
    sent, received = int(measures["input_tokens"]), int(measures["output_tokens"])
    tokens = {
        "input_tokens": sent,
        "output_tokens": received,
        "prompt_tokens": sent,
        "completion_tokens": received,
        "total_tokens": sent + received,
    }
    named = {name: number for name, number in tokens.items() if name in properties}
    cost = {"model": properties["model"], "response_cost": plain(measures["response_cost"])}
    return named | cost | {"requests": int(measures["requests"])}


def _cents(cost: Decimal, shown: object) -> str | None:
    """The amount in cents as it was sent: Lago rounds it. None if none was; ClickHouse shows 0 then."""
    stored = exact(shown)
    if not stored:
        return None
    with localcontext(prec=2000):
        sent = cost * 100
        return plain(sent if sent.quantize(_STORED, ROUND_HALF_UP) == stored else stored)


def _seconds(iso: str) -> int:
    """The length that a window's name says; 0 if it is none."""
    found = _ISO.fullmatch(iso)
    units = (int(number or 0) for number in found.groups()) if found else ()
    seconds = sum(number * size for number, size in zip(units, (86_400, 3600, 60, 1), strict=False))
    return seconds if iso_duration(seconds) == iso else 0


def _stamp(moment: datetime) -> str:
    """A time as events have it: seconds, with three decimals."""
    milliseconds = (moment - _EPOCH) // timedelta(milliseconds=1)
    return f"{milliseconds // 1000}.{milliseconds % 1000:03}"
