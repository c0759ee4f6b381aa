"""One request as the handlers see it, and the Lago that answers it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from starlette.responses import Response

from reconciler.sandbox.reckoning.cache import UsageCache
from reconciler.sandbox.refusals import missing_parameter
from reconciler.sandbox.schedule.agenda import Agenda
from reconciler.sandbox.schedule.clock import Clock
from reconciler.sandbox.schedule.worker import Worker
from reconciler.sandbox.stores.store import Event, Store
from reconciler.sandbox.trouble.faults import Faults
from reconciler.sandbox.trouble.limits import Limits
from reconciler.sandbox.trouble.permissions import Permissions
from reconciler.sandbox.trouble.requests import RequestLog

PER_PAGE = 100

# Ruby's JSON makes floats of fractions, and infinity of a number over their range.
_BODY = msgspec.json.Decoder(float_hook=float)


@dataclass(frozen=True)
class Lago:
    """The state of the stand-in.

    Attributes:
        store: events and provisioned things.
        organizations: API key to organization.
        batch_max_length: Lago's `LAGO_EVENTS_BATCH_MAX_LENGTH`.
        clock: what Lago takes for the time.
        faults: what goes wrong next.
        limits: how much may be asked.
        permissions: what may be asked.
        log: what was asked.
        cache: usage that has been reckoned.
        agenda: what is due when.
        worker: what drops the one and does the other.
    """

    store: Store
    organizations: Mapping[str, str]
    batch_max_length: int
    clock: Clock
    faults: Faults
    limits: Limits
    permissions: Permissions
    log: RequestLog
    cache: UsageCache = field(default_factory=UsageCache)
    agenda: Agenda = field(default_factory=Agenda)
    worker: Worker = field(default_factory=Worker)

    def now(self) -> int:
        """Return Lago's time, in microseconds since 1970."""
        return self.clock.now()

    def stored(self, events: Sequence[Event]) -> None:
        """Give the worker what follows from events that have been stored."""
        now = self.now()
        self.cache.outdate([(self.worker.take(now), event) for event in events], now)


@dataclass(frozen=True)
class Call:
    """An authenticated request.

    Attributes:
        lago: who answers.
        organization: whose API key it carries.
        path: the route's parameters, percent-decoded.
        query: the query's parameters, repeated ones under their name with `[]`.
        body: the JSON object it carries, `{}` if none.
    """

    lago: Lago
    organization: str
    path: Mapping[str, str]
    query: Mapping[str, str]
    body: Mapping[str, Any]

    @property
    def store(self) -> Store:
        """The Lago's store."""
        return self.lago.store

    def root(self, name: str) -> dict[str, Any]:
        """Return the object under the body's root key.

        Raises:
            RefusalError: 400, the key is missing or blank.
        """
        value = self.body.get(name)
        if not isinstance(value, dict) or not value:
            raise missing_parameter(name)
        return value

    def page(self) -> tuple[int, int]:
        """Return the page asked for, from 1, and its length."""
        return max(_to_i(self.query.get("page"), 1), 1), max(_to_i(self.query.get("per_page"), PER_PAGE), 1)


Handler = Callable[[Call], Any]
"""Returns what is to be answered in JSON, or a whole response."""


def _to_i(text: str | None, default: int) -> int:
    return int(text) if text and text.isascii() and text.isdigit() else default


def read_body(content_type: str, content: bytes) -> Mapping[str, Any]:
    """Return the JSON object a request carries; of other media types Lago sees no parameters.

    Raises:
        msgspec.DecodeError: it is no JSON.
        UnicodeDecodeError: it is no UTF-8.
        RecursionError: it is nested too deep.
    """
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type != "application/json" or not content:
        return {}
    body = _BODY.decode(content)
    if b"null" in content:
        body = _without_nulls_in_lists(body)
    return body if isinstance(body, dict) else {}


def _without_nulls_in_lists(value: Any) -> Any:
    """Return what Rails makes of a body: it drops every null that stands in an array."""
    match value:
        case dict():
            return {name: _without_nulls_in_lists(member) for name, member in value.items()}
        case list():
            return [_without_nulls_in_lists(member) for member in value if member is not None]
        case _:
            return value


def parse_query(query: str) -> dict[str, str]:
    """Read a query string; of a repeated parameter the last counts, those of a list `name[]` with commas between."""
    sent = parse_qsl(query, keep_blank_values=True)
    lists = {name: ",".join(value for other, value in sent if other == name) for name, _ in sent if name.endswith("[]")}
    return dict(sent) | lists


def page_meta(page: int, per_page: int, total: int) -> dict[str, int | None]:
    """Return Lago's `meta`, whose `current_page` is 0 when there is nothing."""
    pages = ceil(total / per_page)
    return {
        "current_page": page if total else 0,
        "next_page": page + 1 if page < pages else None,
        "prev_page": page - 1 if total and page > 1 else None,
        "total_pages": pages,
        "total_count": total,
    }


def paged(
    call: Call, name: str, things: Iterable[Any], render: Callable[[Any], Any] = lambda thing: thing
) -> dict[str, Any]:
    """Return the page of `things` that was asked for, each rendered, under `name`, with its `meta`."""
    everything = list(things)
    page, per_page = call.page()
    return {
        name: [render(thing) for thing in everything[(page - 1) * per_page : page * per_page]],
        "meta": page_meta(page, per_page, len(everything)),
    }


def json_response(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return an answer in JSON."""
    return Response(msgspec.json.encode(content), status, headers, media_type="application/json")
