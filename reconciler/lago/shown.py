"""What an event of Lago's says of itself: its figures, when it counts, whose it is. Pure: it may say anything."""

import re
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from reconciler.model.identity import PREFIX, bucket_hash
from reconciler.model.money import plain

_LONGEST_NUMBER = 1000
"""Characters; a cost is a few dozen."""

_COUNTED = re.compile(r"-?[0-9]+(\.[0-9]+)?")
"""What Lago takes for a number (facts: lago section 6.3)."""


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
