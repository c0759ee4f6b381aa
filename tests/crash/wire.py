"""What goes over the wire to Lago, byte for byte."""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import msgspec
import pytest

from tests.support import BATCH

Sent = dict[str, list[bytes]]
"""By transaction id: the event's bytes, each time it was sent."""


class _Batch(msgspec.Struct):
    events: list[msgspec.Raw]


class _Event(msgspec.Struct):
    transaction_id: str


@contextmanager
def recorded() -> Iterator[Sent]:
    """Record every event that is sent from this process, whether it arrives or not."""
    sent: Sent = defaultdict(list)
    handle = httpx.HTTPTransport.handle_request

    def recording(self: httpx.HTTPTransport, request: httpx.Request) -> httpx.Response:
        if request.method == "POST" and request.url.path == BATCH:
            for event in msgspec.json.decode(request.read(), type=_Batch).events:
                sent[msgspec.json.decode(event, type=_Event).transaction_id].append(bytes(event))
        return handle(self, request)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(httpx.HTTPTransport, "handle_request", recording)
        yield sent
