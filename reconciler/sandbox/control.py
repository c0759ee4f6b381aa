"""The stand-in's own API under `/sandbox`, for tests and the demo. It needs no key.

| request | answer |
|---|---|
| `GET /sandbox/health` | `{"status": "ok"}` |
| `GET /sandbox/faults` | the faults still to come |
| `POST /sandbox/faults` with a list of them | the faults still to come, or 400 and what is wrong |
| `DELETE /sandbox/faults` | `[]` |
| `GET /sandbox/limits` | the rate limits |
| `POST /sandbox/limits` with a list of them | the rate limits, which these replace, or 400 and what is wrong |
| `POST /sandbox/permissions` with `{"event": ["read"]}` | the same; the API key may do only that with events |
| `POST /sandbox/outage` with `{"seconds": 2}` | `{"seconds": 2}`; then every connection is refused for so long |
| `GET /sandbox/clock` | `{"now": "2026-11-24T15:00:00.000Z", "moved": false}`: what Lago takes for the time |
| `POST /sandbox/clock` with a `Move` | the same, moved, or 400 and what is wrong |
| `DELETE /sandbox/clock` | the same, back at the real time |
| `POST /sandbox/reset` | `{"status": "ok"}`: all is as at the start |
| `GET /sandbox/requests` | the last 10,000 requests under `/api/v1`, oldest first; `DELETE` forgets them |
| `GET /sandbox/clickhouse` | how long ClickHouse takes, what it loses, how many events wait; 409 on Postgres |
| `POST /sandbox/clickhouse` with some of `Weather` | changes that, or 400 and what is wrong |
| `POST /sandbox/clickhouse/release` | lets it see all that waits: `{"released": 3}` |
| `POST /sandbox/clickhouse/merge` | merges the copies of each event: `{"merged": 1}` |
| `POST /sandbox/worker` with `{"paused": true}` | the same; until it is false again, cached usage goes stale |
| `POST /sandbox/worker` with `{"seconds": 0.03}` | the same; each event takes it so long, and billing waits behind |
| `POST /sandbox/biller` with `{"paused": true}` | the same; until it is false again, what becomes due waits |
| `POST /sandbox/biller` without a body | bills what is over at once: `{"invoices": ["..."]}`, new or final ones |
| `POST /sandbox/forget` with `{"code": "llm_usage"}` | `{"forgotten": 3}`: gone, their ids taken; 409 on ClickHouse |
| `GET /sandbox/totals` | sums by subscription, code and model; see `stores.totals` |
| `GET /sandbox/events` | every event as Lago serializes it, oldest timestamp first |

Permissions, events and their totals are those of the first API key's organization unless `?api_key=` names another.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Annotated, Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from reconciler.sandbox.billing.biller import hold, let_go, run_now
from reconciler.sandbox.call import Lago, json_response
from reconciler.sandbox.grammar import SECOND, datetime_instant, format_instant
from reconciler.sandbox.resources.events import render
from reconciler.sandbox.stores.clickhouse import ClickHouseStore
from reconciler.sandbox.stores.postgres import PostgresStore
from reconciler.sandbox.stores.store import EventFilter
from reconciler.sandbox.stores.totals import totals
from reconciler.sandbox.trouble.chance import Chance
from reconciler.sandbox.trouble.faults import Fault
from reconciler.sandbox.trouble.limits import Limit
from reconciler.sandbox.trouble.permissions import Action

_Handler = Callable[[Request], Awaitable[Response]]


class Outage(msgspec.Struct, forbid_unknown_fields=True):
    """What `POST /sandbox/outage` takes: how long it lasts, since the control API is away as well."""

    seconds: Annotated[float, msgspec.Meta(ge=0)]


class Move(msgspec.Struct, forbid_unknown_fields=True):
    """What `POST /sandbox/clock` takes.

    Attributes:
        now: the time that it is from now on, with its offset from UTC; it runs on from there.
        advance: the seconds to move on, from that or from what it was.
    """

    now: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    advance: float = 0.0


class Weather(msgspec.Struct, forbid_unknown_fields=True):
    """What `POST /sandbox/clickhouse` takes; what is not given stays as it is.

    Attributes:
        lag: the seconds until events that come in from now on can be seen, null for until they are released.
        deduplication: whether only the latest copy of an event counts.
        losses: which events are lost after their 200, by `trouble.chance.Chance`, instead of those told before.
    """

    lag: Annotated[float, msgspec.Meta(ge=0)] | msgspec.UnsetType | None = msgspec.UNSET
    deduplication: bool | msgspec.UnsetType = msgspec.UNSET
    losses: list[Chance] | msgspec.UnsetType = msgspec.UNSET


class Switch(msgspec.Struct, forbid_unknown_fields=True):
    """What `POST /sandbox/biller` takes: whether what becomes due waits."""

    paused: bool


class Work(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """What `POST /sandbox/worker` takes; what is not given stays as it is.

    Attributes:
        paused: whether what outdates cached usage waits.
        seconds: how long each event takes it, by Lago's clock.
    """

    paused: bool | msgspec.UnsetType = msgspec.UNSET
    seconds: Annotated[float, msgspec.Meta(ge=0)] | msgspec.UnsetType = msgspec.UNSET


class Forget(msgspec.Struct, forbid_unknown_fields=True):
    """What `POST /sandbox/forget` takes: whose events are deleted, as an older Lago does with those of a metric."""

    code: str


class Control:
    """The control API of one Lago."""

    def __init__(self, lago: Lago) -> None:
        self._lago = lago

    def routes(self) -> list[Route]:
        """Return the routes of the module's table."""
        handlers = [
            ("GET", "/health", self._health),
            ("GET", "/faults", self._list_faults),
            ("POST", "/faults", self._add_faults),
            ("DELETE", "/faults", self._clear_faults),
            ("GET", "/limits", self._list_limits),
            ("POST", "/limits", self._set_limits),
            ("POST", "/permissions", self._set_permissions),
            ("POST", "/outage", self._go_away),
            ("GET", "/clock", self._show_clock),
            ("POST", "/clock", self._move_clock),
            ("DELETE", "/clock", self._reset_clock),
            ("POST", "/reset", self._reset),
            ("GET", "/requests", self._list_requests),
            ("DELETE", "/requests", self._clear_requests),
            ("GET", "/clickhouse", self._show_clickhouse),
            ("POST", "/clickhouse", self._change_clickhouse),
            ("POST", "/clickhouse/release", self._release),
            ("POST", "/clickhouse/merge", self._merge),
            ("POST", "/worker", self._set_worker),
            ("POST", "/biller", self._set_biller),
            ("POST", "/forget", self._forget),
            ("GET", "/totals", self._list_totals),
            ("GET", "/events", self._list_events),
        ]
        return [Route(f"/sandbox{path}", _explained(handler), methods=[method]) for method, path, handler in handlers]

    async def _health(self, _request: Request) -> Response:
        return json_response({"status": "ok"})

    async def _list_faults(self, _request: Request) -> Response:
        return json_response(self._lago.faults.pending())

    async def _add_faults(self, request: Request) -> Response:
        faults = msgspec.json.decode(await request.body(), type=list[Fault])
        if any(fault.events for fault in faults) and not isinstance(self._lago.store, ClickHouseStore):
            return json_response({"error": "a Postgres store commits all events of a request or none"}, 400)
        self._lago.faults.add(faults)
        return await self._list_faults(request)

    async def _clear_faults(self, request: Request) -> Response:
        self._lago.faults.clear()
        return await self._list_faults(request)

    async def _list_limits(self, _request: Request) -> Response:
        return json_response(self._lago.limits.all())

    async def _set_limits(self, request: Request) -> Response:
        self._lago.limits.set(msgspec.json.decode(await request.body(), type=list[Limit]))
        return await self._list_limits(request)

    async def _set_permissions(self, request: Request) -> Response:
        allowed = msgspec.json.decode(await request.body(), type=dict[str, list[Action]])

        def change(organization: str) -> dict[str, list[Action]]:
            self._lago.permissions.set(organization, allowed)
            return allowed

        return self._of_organization(request, change)

    async def _go_away(self, request: Request) -> Response:
        outage = msgspec.json.decode(await request.body(), type=Outage)
        await request.state.listener.refuse(outage.seconds, spared=request.state.transport)
        return json_response(outage, headers={"Connection": "close"})

    async def _show_clock(self, _request: Request) -> Response:
        clock = self._lago.clock
        return json_response({"now": format_instant(clock.now(), milliseconds=True), "moved": clock.moved})

    async def _move_clock(self, request: Request) -> Response:
        move = msgspec.json.decode(await request.body(), type=Move)
        if move.now is not None:
            self._lago.clock.set(datetime_instant(move.now))
        self._lago.clock.advance(int(move.advance * SECOND))
        return await self._show_clock(request)

    async def _reset_clock(self, request: Request) -> Response:
        self._lago.clock.reset()
        return await self._show_clock(request)

    async def _reset(self, request: Request) -> Response:
        self._lago.store.clear()
        self._lago.clock.reset()
        self._lago.faults.clear()
        self._lago.limits.set([])
        self._lago.permissions.clear()
        self._lago.log.clear()
        self._lago.cache.clear()
        self._lago.agenda.clear()
        self._lago.worker.clear()
        return await self._health(request)

    async def _list_requests(self, _request: Request) -> Response:
        return json_response(self._lago.log.all())

    async def _clear_requests(self, request: Request) -> Response:
        self._lago.log.clear()
        return await self._list_requests(request)

    async def _show_clickhouse(self, _request: Request) -> Response:
        return self._on_clickhouse(
            lambda store: {
                "lag": store.lag,
                "deduplication": store.deduplication,
                "losses": store.losses.pending(),
                "waiting": store.waiting(),
            }
        )

    async def _change_clickhouse(self, request: Request) -> Response:
        weather = msgspec.json.decode(await request.body(), type=Weather)

        def change(store: ClickHouseStore) -> None:
            if weather.lag is not msgspec.UNSET:
                store.lag = weather.lag
            if weather.deduplication is not msgspec.UNSET:
                store.deduplication = weather.deduplication
            if weather.losses is not msgspec.UNSET:
                store.losses.clear()
                store.losses.add(weather.losses)

        changed = self._on_clickhouse(change)
        return changed if changed.status_code != 200 else await self._show_clickhouse(request)

    async def _release(self, _request: Request) -> Response:
        return self._on_clickhouse(lambda store: {"released": store.release()})

    async def _merge(self, _request: Request) -> Response:
        return self._on_clickhouse(lambda store: {"merged": store.merge()})

    def _on_clickhouse(self, do: Callable[[ClickHouseStore], Any]) -> Response:
        store = self._lago.store
        if not isinstance(store, ClickHouseStore):
            return json_response({"error": "this is the Postgres store; start the stand-in with store clickhouse"}, 409)
        return json_response(do(store))

    async def _set_worker(self, request: Request) -> Response:
        work = msgspec.json.decode(await request.body(), type=Work)
        if work.paused is True:
            self._lago.cache.pause()
        elif work.paused is False:
            self._lago.cache.resume(self._lago.now())
        if work.seconds is not msgspec.UNSET:
            self._lago.worker.cost = int(work.seconds * SECOND)
        return json_response(work)

    async def _set_biller(self, request: Request) -> Response:
        if not await request.body():
            return json_response({"invoices": run_now(self._lago)})
        switch = msgspec.json.decode(await request.body(), type=Switch)
        (hold if switch.paused else let_go)(self._lago)
        return json_response(switch)

    async def _forget(self, request: Request) -> Response:
        store = self._lago.store
        if not isinstance(store, PostgresStore):
            return json_response({"error": "this is the ClickHouse store, in which Lago deletes no event"}, 409)
        code = msgspec.json.decode(await request.body(), type=Forget).code
        return self._of_organization(request, lambda organization: {"forgotten": store.forget(organization, code)})

    async def _list_totals(self, request: Request) -> Response:
        return self._of_organization(request, lambda organization: totals(self._lago.store, organization))

    async def _list_events(self, request: Request) -> Response:
        def oldest_first(organization: str) -> list[Any]:
            store = self._lago.store
            events = sorted(store.events(EventFilter(organization)), key=lambda event: event.timestamp)
            return [render(event, store.subscription_of(event)) for event in events]

        return self._of_organization(request, oldest_first)

    def _of_organization(self, request: Request, answer: Callable[[str], Any]) -> Response:
        organizations = self._lago.organizations
        key = request.query_params.get("api_key", next(iter(organizations)))
        if key not in organizations:
            return json_response({"error": "no organization has this API key"}, 404)
        return json_response(answer(organizations[key]))


def _explained(handler: _Handler) -> _Handler:
    """Return the handler, answering 400 to a body that it can't read."""

    async def explained(request: Request) -> Response:
        try:
            return await handler(request)
        except msgspec.MsgspecError as error:
            return json_response({"error": str(error)}, 400)

    return explained
