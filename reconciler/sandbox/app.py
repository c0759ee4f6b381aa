"""The application: Lago's routes, and what every request goes through before and after its handler.

A request's body is read first, as in Rails: what is no JSON is refused before anyone asks for a key. Then
come the rate limit and a fault, if one is due, around all the rest: authentication, the handler, the answer.
"""

import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
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

from reconciler.sandbox.billing import invoices, removal, usage
from reconciler.sandbox.billing.biller import catch_up
from reconciler.sandbox.call import Call, Handler, Lago, json_response, parse_query
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
from reconciler.sandbox.resources import (
    alerts,
    analytics,
    customer_links,
    customers,
    elsewhere,
    estimates,
    events,
    lifetime_usage,
    metrics,
    organizations,
    plan_charges,
    plan_metadata,
    plans,
    subscription_charges,
    subscriptions,
)
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

_SUBSCRIPTION_FILTERS = "/subscriptions/{external_id}/charges/{charge_code}/filters"
_ROUTES: list[tuple[str, str, Handler]] = [
    ("POST", "/events", events.create),
    ("POST", "/events/batch", events.create_batch),
    ("POST", "/events/estimate_fees", estimates.estimate_fees),
    ("GET", "/events", events.index),
    ("GET", "/events/{transaction_id}", events.show),
    ("GET", "/events_enriched", events.index_enriched),
    ("POST", "/billable_metrics", metrics.create_metric),
    ("POST", "/billable_metrics/evaluate_expression", metrics.evaluate_expression),
    ("GET", "/billable_metrics", metrics.list_metrics),
    ("GET", "/billable_metrics/{code}", metrics.show_metric),
    ("PUT", "/billable_metrics/{code}", metrics.update_metric),
    ("DELETE", "/billable_metrics/{code}", metrics.delete_metric),
    ("POST", "/plans", plans.create_plan),
    ("GET", "/plans", plans.list_plans),
    ("GET", "/plans/{code}", plans.show_plan),
    ("PUT", "/plans/{code}", plans.update_plan),
    ("DELETE", "/plans/{code}", removal.delete_plan),
    ("POST", "/plans/{code}/metadata", plan_metadata.replace_metadata),
    ("PUT", "/plans/{code}/metadata", plan_metadata.merge_metadata),
    ("DELETE", "/plans/{code}/metadata", plan_metadata.delete_metadata),
    ("DELETE", "/plans/{code}/metadata/{key}", plan_metadata.delete_metadata_key),
    ("POST", "/plans/{code}/charges", plan_charges.create_charge),
    ("GET", "/plans/{code}/charges", plan_charges.list_charges),
    ("GET", "/plans/{code}/charges/{charge_code}", plan_charges.show_charge),
    ("PUT", "/plans/{code}/charges/{charge_code}", plan_charges.update_charge),
    ("DELETE", "/plans/{code}/charges/{charge_code}", plan_charges.delete_charge),
    ("POST", "/plans/{code}/charges/{charge_code}/filters", plan_charges.create_filter),
    ("GET", "/plans/{code}/charges/{charge_code}/filters", plan_charges.list_filters),
    ("GET", "/plans/{code}/charges/{charge_code}/filters/{lago_id}", plan_charges.show_filter),
    ("PUT", "/plans/{code}/charges/{charge_code}/filters/{lago_id}", plan_charges.update_filter),
    ("DELETE", "/plans/{code}/charges/{charge_code}/filters/{lago_id}", plan_charges.delete_filter),
    ("POST", "/customers", customers.upsert_customer),
    ("GET", "/customers", customers.list_customers),
    ("GET", "/customers/{external_id}", customers.show_customer),
    ("DELETE", "/customers/{external_id}", removal.delete_customer),
    ("GET", "/customers/{external_id}/current_usage", usage.current_usage),
    ("GET", "/customers/{external_id}/past_usage", invoices.past_usage),
    ("GET", "/customers/{external_id}/projected_usage", usage.projected_usage),
    ("GET", "/customers/{external_id}/portal_url", customer_links.portal_url),
    ("POST", "/customers/{external_id}/checkout_url", customer_links.checkout_url),
    ("POST", "/subscriptions", subscriptions.create_subscription),
    ("GET", "/subscriptions", subscriptions.list_subscriptions),
    ("GET", "/subscriptions/{external_id}", subscriptions.show_subscription),
    ("PUT", "/subscriptions/{external_id}", subscriptions.update_subscription),
    ("DELETE", "/subscriptions/{external_id}", subscriptions.terminate_subscription),
    ("GET", "/subscriptions/{external_id}/charges", subscription_charges.list_charges),
    ("GET", "/subscriptions/{external_id}/charges/{charge_code}", subscription_charges.show_charge),
    ("PUT", "/subscriptions/{external_id}/charges/{charge_code}", subscription_charges.update_charge),
    ("GET", _SUBSCRIPTION_FILTERS, subscription_charges.list_filters),
    ("POST", _SUBSCRIPTION_FILTERS, subscription_charges.create_filter),
    ("GET", f"{_SUBSCRIPTION_FILTERS}/{{lago_id}}", subscription_charges.show_filter),
    ("PUT", f"{_SUBSCRIPTION_FILTERS}/{{lago_id}}", subscription_charges.update_filter),
    ("DELETE", f"{_SUBSCRIPTION_FILTERS}/{{lago_id}}", subscription_charges.delete_filter),
    ("GET", "/subscriptions/{external_id}/lifetime_usage", lifetime_usage.show_lifetime_usage),
    ("PUT", "/subscriptions/{external_id}/lifetime_usage", lifetime_usage.update_lifetime_usage),
    ("POST", "/subscriptions/{external_id}/alerts", alerts.create_alerts),
    ("GET", "/subscriptions/{external_id}/alerts", alerts.list_alerts),
    ("DELETE", "/subscriptions/{external_id}/alerts", alerts.delete_alerts),
    ("GET", "/subscriptions/{external_id}/alerts/{code}", alerts.show_alert),
    ("PUT", "/subscriptions/{external_id}/alerts/{code}", alerts.update_alert),
    ("DELETE", "/subscriptions/{external_id}/alerts/{code}", alerts.delete_alert),
    ("GET", "/organizations", organizations.show_organization),
    ("PUT", "/organizations", organizations.update_organization),
    ("GET", "/invoices", invoices.list_invoices),
    ("GET", "/invoices/{lago_id}", invoices.show_invoice),
    ("PUT", "/invoices/{lago_id}/refresh", invoices.refresh_invoice),
    ("PUT", "/invoices/{lago_id}/finalize", invoices.finalize_invoice),
    ("GET", "/fees", invoices.list_fees),
    ("GET", "/fees/{lago_id}", invoices.show_fee),
    ("GET", "/analytics/usage", analytics.usage),
    *elsewhere.ROUTES,
]
_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]

# Ruby's JSON makes floats of fractions, and infinity of a number over their range.
_BODY = msgspec.json.Decoder(float_hook=float)


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

    routes = [_route(lago, _methods(method, path), f"/api/v1{path}", handler) for method, path, handler in _ROUTES]
    unknown = _route(lago, _METHODS, "/{rest:path}", _no_such_route)
    app = Starlette(
        routes=[*Control(lago).routes(), *routes, unknown],
        middleware=[Middleware(_RouteByRawPath)],
        lifespan=lifespan,
        exception_handlers={Exception: _crash},
    )
    app.router.redirect_slashes = False
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


def _route(lago: Lago, methods: list[str], path: str, handler: Handler) -> Route:
    """Return a route whose endpoint keeps the limits, plays faults, authenticates, calls the handler and logs."""

    async def endpoint(request: Request) -> Response:
        target = request.url.path
        try:
            content = await request.body()
        except ClientDisconnect:
            return Response()  # half a request has no effect, and nobody waits for the answer
        try:
            body: Mapping[str, Any] | None = _parse(request, content)
        except (msgspec.DecodeError, RecursionError):
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
            happened, response = fault.kind, await play(fault, _partly(lago, fault, answer))
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


def _parse(request: Request, content: bytes) -> Mapping[str, Any]:
    """Return the JSON object a request carries; of other media types Lago sees no parameters."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json" or not content:
        return {}
    body = _BODY.decode(content)
    return body if isinstance(body, dict) else {}


def _organization(lago: Lago, request: Request) -> str | None:
    """Return the organization of the header's second word, if any; the first word is not looked at."""
    words = request.headers.get("authorization", "").split()
    return lago.organizations.get(words[1]) if len(words) > 1 else None


def _partly(lago: Lago, fault: Fault, answer: Callable[[], Response]) -> Callable[[], Response]:
    """Return the answer, or one that takes effect for the first events only, which a ClickHouse store can do."""
    store, events = lago.store, fault.events
    if events is None or not isinstance(store, ClickHouseStore):
        return answer

    def partly() -> Response:
        with store.only(events):
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
