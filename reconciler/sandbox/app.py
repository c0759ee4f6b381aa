"""The application: what every request goes through before and after its handler.

A request's body is read first, as in Rails: what is no JSON is refused before anyone asks for a key. Then
come the rate limit and a fault, if one is due, around all the rest: authentication, the handler, the answer.
"""

import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Literal, TypedDict
from urllib.parse import unquote
from uuid import NAMESPACE_URL, uuid5

import msgspec
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from reconciler.sandbox.billing.biller import catch_up
from reconciler.sandbox.call import Call, Handler, Lago, json_response, parse_query, read_body
from reconciler.sandbox.control import Control
from reconciler.sandbox.grammar import UnstorableError
from reconciler.sandbox.refusals import (
    BareRefusalError,
    RefusalError,
    crashed,
    malformed,
    not_found,
    unauthorized,
)
from reconciler.sandbox.resources import events
from reconciler.sandbox.routes import ROUTES
from reconciler.sandbox.schedule.clock import Clock
from reconciler.sandbox.stores.clickhouse import ClickHouseStore
from reconciler.sandbox.stores.postgres import PostgresStore
from reconciler.sandbox.trouble.faults import Cut, Fault, Faults, play
from reconciler.sandbox.trouble.limits import Limits
from reconciler.sandbox.trouble.permissions import Permissions
from reconciler.sandbox.trouble.requests import Asked, LoggedRequest, RequestLog

_log = logging.getLogger(__name__)

DEFAULT_API_KEY = "sandbox-api-key"
BATCH_MAX_LENGTH = 100

StoreName = Literal["postgres", "clickhouse"]

_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]


class Options(TypedDict, total=False):
    """How the stand-in is made, apart from its file; see `create_app`."""

    store: StoreName
    deduplication: bool
    lag: float | None
    api_key: str
    other_api_keys: Sequence[str]
    batch_max_length: int


def create_app(
    *,
    path: Path | str | None = None,
    store: StoreName = "postgres",
    deduplication: bool = True,
    lag: float | None = 0.0,
    api_key: str = DEFAULT_API_KEY,
    other_api_keys: Sequence[str] = (),
    batch_max_length: int = BATCH_MAX_LENGTH,
) -> Starlette:
    """Make the stand-in of Lago.

    Args:
        path: the SQLite file to keep its data in; without it the data is in memory and gone at the end.
        store: which of Lago's event stores its organizations have.
        deduplication: whether ClickHouse counts only the latest copy of an event.
        lag: the seconds that ClickHouse takes to see an event, None for as long as it is not told to.
        api_key: the key of the first organization.
        other_api_keys: one more organization each.
        batch_max_length: the most events a batch may have.

    Returns:
        An ASGI application. Its faults that cut connections need the server of `server.py`.

    Raises:
        StoreFileError: the file holds the other store.
    """
    clock = Clock()
    kept = (
        PostgresStore(path)
        if store == "postgres"
        else ClickHouseStore(path, now=clock.now, lag=lag, deduplication=deduplication)
    )
    lago = Lago(
        store=kept,
        organizations={
            key: str(uuid5(NAMESPACE_URL, f"lago-organization:{key}")) for key in (api_key, *other_api_keys)
        },
        batch_max_length=batch_max_length,
        clock=clock,
        faults=Faults(),
        limits=Limits(),
        permissions=Permissions(),
        log=RequestLog(),
    )

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        yield
        kept.close()

    app = Starlette(
        routes=[*Control(lago).routes(), *_ROUTES],
        middleware=[Middleware(_RouteByRawPath)],
        lifespan=lifespan,
        exception_handlers={Exception: _crash},
    )
    app.router.redirect_slashes = False
    app.state.lago = lago
    return app


def _methods(method: str, path: str) -> list[str]:
    """Rails updates a resource by PATCH as by PUT; what is done to an invoice is no update."""
    return ["PUT", "PATCH"] if method == "PUT" and not path.startswith("/invoices/") else [method]


class _RouteByRawPath:
    """Routes by the path as sent, so that an encoded slash does not part an id; `_route` decodes the ids."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope["path"] = scope["raw_path"].decode("ascii", "replace")
        await self._app(scope, receive, send)


def _route(methods: list[str], path: str, handler: Handler) -> Route:
    """Return a route whose endpoint keeps the limits, plays faults, authenticates, calls the handler and logs."""

    async def endpoint(request: Request) -> Response:
        lago: Lago = request.app.state.lago
        target = request.url.path
        try:
            content = await request.body()
        except ClientDisconnect:
            return Response()  # half a request has no effect, and nobody waits for the answer
        try:
            body: Mapping[str, Any] | None = read_body(request.headers.get("content-type", ""), content)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            body = None

        asked = Asked(request.method, target, events.sent(body or {}))
        organization = _organization(lago, request)

        def answer() -> Response:
            try:
                if body is None:
                    raise malformed()
                if organization is None:
                    raise unauthorized()
                lago.permissions.check(organization, asked)
                catch_up(lago)
                path = {name: unquote(value) for name, value in request.path_params.items()}
                answered = handler(Call(lago, organization, path, parse_query(request.url.query), body))
                return answered if isinstance(answered, Response) else json_response(answered)
            except UnstorableError:
                return _refuse(request, crashed())
            except RefusalError as refusal:
                return _refuse(request, refusal)

        verdict = lago.limits.ask(asked, organization)
        if verdict and not verdict.allowed:
            happened, response = "limit", _refuse(request, RefusalError(429))
        elif fault := lago.faults.hit(asked):
            happened, response = fault.kind, await play(fault, lago.faults.turn, _partly(lago, fault, answer))
        else:
            happened, response = None, answer()
        if verdict:
            response.headers.update(verdict.headers)
        lago.log.add(
            LoggedRequest(
                method=request.method,
                path=f"{target}?{request.url.query}" if request.url.query else target,
                status=None if isinstance(response, Cut) else response.status_code,
                events=len(asked.events),
                ids=[event.transaction_id for event in asked.events],
                fault=happened,
            )
        )
        return response

    return Route(path, endpoint, methods=methods)


def _organization(lago: Lago, request: Request) -> str | None:
    """Return the organization of the header's second word, if any; the first word is not looked at."""
    words = request.headers.get("authorization", "").split()
    return lago.organizations.get(words[1]) if len(words) > 1 else None


def _partly(lago: Lago, fault: Fault, answer: Callable[[], Response]) -> Callable[[], Response]:
    """Return the answer as a fault lets it take effect.

    That is for the first events only, which a ClickHouse store can do, or without a word to the worker.
    """
    store, events = lago.store, fault.events

    def partly() -> Response:
        with ExitStack() as told:
            if events is not None and isinstance(store, ClickHouseStore):
                told.enter_context(store.only(events))
            if not fault.worker:
                told.enter_context(lago.cache.unheard())
            return answer()

    return partly


def _refuse(request: Request, refusal: RefusalError) -> Response:
    if isinstance(refusal, BareRefusalError) and "application/json" not in request.headers.get("accept", ""):
        return Response(status_code=refusal.status)
    return json_response(refusal.body, refusal.status)


async def _crash(request: Request, error: Exception) -> Response:
    """Answer a request that the stand-in can't cope with as Lago would, and tell the developer."""
    _log.error("the sandbox failed on %s %s", request.method, request.url.path, exc_info=error)
    return _refuse(request, crashed())


def _no_such_route(_call: Call) -> None:
    raise not_found("resource")


# Made once: an application takes a tenth of the time so.
_ROUTES = [
    *(_route(_methods(method, path), f"/api/v1{path}", handler) for method, path, handler in ROUTES),
    _route(_METHODS, "/{rest:path}", _no_such_route),
]
