"""What an event of Lago's says of itself: its figures, when it counts, whose it is. Pure: it may say anything."""

import re
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from reconciler.model.identity import PREFIX, bucket_hash
from reconciler.model.money import plain

_LONGEST_NUMBER = 1000
"""Characters; a cost is a few dozen."""

LONGEST_NAME = 2704
"""Bytes; no longer name is in Lago's index."""

_COUNTED = re.compile(r"-?[0-9]+(\.[0-9]+)?")
"""What Lago takes for a number (facts: lago section 6.3)."""

CALLBACKS_TOKENS = ("prompt_tokens", "completion_tokens", "total_tokens")
"""What LiteLLM's own callback says of tokens, of some requests."""

_CALLBACKS = {"model", "response_cost"}
"""What it says of each."""


def whole(value: object) -> int | None:
    """The number that an event of Lago's shows, such as its revision; None if it is none that we send."""
    text = str(value)
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else None


def amount(event: Mapping[str, Any]) -> Decimal:
    """The cost that an event of Lago's shows; 0 if Lago counts none."""
    properties = event.get("properties")
    return decimal(properties.get("response_cost")) if isinstance(properties, dict) else Decimal()


def decimal(value: object) -> Decimal:
    """A number as Lago counts it; 0 if it takes it for none."""
    return exact(value) or Decimal()


def exact(value: object) -> Decimal | None:
    """A number as Lago counts it; None if it takes it for none, as it does a text with an exponent."""
    text = plain(value) if isinstance(value, Decimal) else str(value)
    return Decimal(text) if len(text) < _LONGEST_NUMBER and _COUNTED.fullmatch(text) else None


def timestamp_of(event: Mapping[str, Any]) -> datetime | None:
    """The aware time by which an event that Lago holds counts; None if it says none."""
    try:
        said = datetime.fromisoformat(str(event.get("timestamp")))
    except ValueError:
        return None
    return said if said.tzinfo else None


def is_of(event: Mapping[str, Any], meter: str) -> bool:
    """Whether an event that Lago holds is under a meter's name."""
    properties = event.get("properties")
    named = str(event.get("transaction_id", "")).startswith(PREFIX)
    return named and isinstance(properties, dict) and properties.get("meter") == meter


def name(value: object) -> str | None:
    """A name as a database takes it: none of Lago's has a NUL, half a surrogate pair or a great length."""
    if not isinstance(value, str) or "\x00" in value or len(value) > LONGEST_NAME:
        return None
    return value if value.encode("utf-8", "replace").decode() == value else None


def uuid_of(event: Mapping[str, Any]) -> UUID | None:
    """The id of an event that Lago holds, if it is a UUID as programs write them."""
    value = event.get("transaction_id")
    try:
        id_ = UUID(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return id_ if str(id_) == value else None


def computed_by(metric: Mapping[str, Any] | None) -> str | None:
    """The property that Lago adds to events by a metric's expression; None if it adds none."""
    return str(metric.get("field_name")) if metric and metric.get("expression") else None


def is_callbacks(event: Mapping[str, Any], computed: str | None = None) -> bool:
    """Whether an event that Lago holds looks as LiteLLM's own `lago` callback makes them.

    Args:
        event: as Lago shows it.
        computed: the property that Lago adds by the metric's expression, if it has one.
    """
    properties = event.get("properties")
    if not isinstance(properties, dict) or uuid_of(event) is None:
        return False
    return _CALLBACKS <= properties.keys() <= {*_CALLBACKS, *CALLBACKS_TOKENS, computed}


def key_of(event: Mapping[str, Any]) -> tuple[datetime, bytes, int] | None:
    """The ledger's key of an event as its properties say it: window, bucket, revision; None if they don't say it."""
    properties = event["properties"]
    revision = whole(properties.get("revision"))
    if revision is None or not 0 <= revision < 2**31:
        return None
    try:
        start = datetime.fromisoformat(str(properties["window"]).partition("/")[0])
        if start.tzinfo is None:
            return None
        return start, bucket_hash(properties["customer"], properties["model"]), revision
    except (KeyError, ValueError, AttributeError, TypeError):
        return None
