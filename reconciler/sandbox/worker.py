"""Telling the worker of new events, as Lago's post-processing does once they are committed."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import msgspec

from reconciler.sandbox.cache import Arrival, Stream
from reconciler.sandbox.call import Call
from reconciler.sandbox.store import Event

_PROPERTIES = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal)


def usage_changed(call: Call, events: Iterable[Event | None]) -> None:
    """Let the worker drop the cached usage that these events have outdated."""
    for event in filter(None, events):
        stream = Stream(event.organization, event.subscription, event.code or "")
        if call.lago.cache.concerns(stream):
            call.lago.cache.after(Arrival(stream, event.timestamp, _PROPERTIES.decode(event.properties)))
