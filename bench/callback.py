"""LiteLLM's own Lago callback beside a pass: the same rows, the same stand-in of Lago, the same faults.

Either side is a process of its own, and what Lago holds in the end is compared with the rows, request by request.
"""

import asyncio
import logging
import multiprocessing
import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any, NamedTuple
from unittest.mock import patch

import httpx
import psycopg

from bench.ground import CODE, Ground
from reconciler.demo.postgres import EmbeddedPostgres
from reconciler.model.money import total
from reconciler.passes.run import Pass, Request
from reconciler.sandbox import Sandbox
from reconciler.settings.load import load_settings

FAULTS = 0.02
"""How many of all requests go wrong; of half of them Lago stores the events all the same."""
SEED = 3
PASSES = 5
"""How many passes may follow one another until nothing is left to send, as cron's would."""

_STORED: tuple[Mapping[str, Any], ...] = (
    {"kind": "status", "commit": True},
    {"kind": "drop", "commit": True},
    {"kind": "truncate"},
)
_NOT_STORED: tuple[Mapping[str, Any], ...] = (
    {"kind": "status"},
    {"kind": "drop"},
    {"kind": "status", "status": 429, "headers": {"X-RateLimit-Reset": "1"}},
)
_MANY = 10**9
"""A count that never runs out, and tells at the end how often a fault hit."""

_CALLS = """
SELECT request_id, model_group, end_user, prompt_tokens, completion_tokens, spend
FROM "LiteLLM_SpendLogs" WHERE status IS DISTINCT FROM 'failure' ORDER BY "startTime"
"""
_BILLABLE = """end_user <> '' AND (status IS DISTINCT FROM 'failure' OR spend <> 0)"""
_BY_REQUEST = f"""
SELECT end_user, model_group, prompt_tokens, completion_tokens, spend::text::numeric,
       count(*), sum(spend::text::numeric)
FROM "LiteLLM_SpendLogs" WHERE {_BILLABLE} GROUP BY 1, 2, 3, 4, 5
"""
_BY_BUCKET = f"""
SELECT end_user, model,
       to_char(date_bin('15 minutes', "startTime", timestamp '2000-01-01'), 'YYYY-MM-DD"T"HH24:MI:SS"Z/PT15M"'),
       count(*), sum(spend::text::numeric)
FROM "LiteLLM_SpendLogs" WHERE {_BILLABLE} GROUP BY 1, 2, 3
"""


class Usage(NamedTuple):
    """So many of the proxy's requests, and their cost in USD."""

    requests: int = 0
    cost: Decimal = Decimal()

    def plus(self, other: "Usage") -> "Usage":
        """The sum of both, exact."""
        return Usage(self.requests + other.requests, total([self.cost, other.cost]))

    def beyond(self, other: "Usage") -> "Usage":
        """What is here and not there."""
        return Usage(
            max(0, self.requests - other.requests), max(Decimal(), total([self.cost, other.cost.copy_negate()]))
        )


Usages = Mapping[tuple[object, ...], Usage]
"""By whatever tells requests, or buckets of them, apart."""


@dataclass(frozen=True)
class Wire:
    """What a client sent.

    Attributes:
        requests: how many, those that only ask among them.
        bytes: of their bodies.
        seconds: from the first to the end.
    """

    requests: int
    bytes: int
    seconds: float


@dataclass(frozen=True)
class Side:
    """One line of the comparison.

    Attributes:
        who: the callback, or a pass.
        faults: how many requests went wrong.
        wire: what it sent.
        events: how many Lago holds in the end.
        lost: what the rows say and Lago does not.
        doubled: what Lago says and the rows do not.
    """

    who: str
    faults: int
    wire: Wire
    events: int
    lost: Usage
    doubled: Usage


def side_by_side(server: EmbeddedPostgres, rows: int, doing: Callable[[str], None]) -> Iterator[Side]:
    """Bill so many rows by the callback and by a pass, without faults and with.

    Args:
        server: the benchmark's Postgres.
        rows: how many.
        doing: is told what goes on.
    """
    with Sandbox() as lago:
        doing(f"side by side: filling {rows:,} rows")
        ground = Ground(server, "sparse", rows, lago.url)
        environ = ground.environ | {"LAGO_API_KEY": lago.api_key}
        since = ground.since.isoformat()
        for share in (0.0, FAULTS):
            for who, bill, truth, held in (
                ("LiteLLM's callback", partial(_by_callback, environ), _BY_REQUEST, _requests),
                ("a pass", partial(_by_pass, environ, since), _BY_BUCKET, _buckets),
            ):
                doing(f"side by side, {share:.0%} faults: {who}")
                ground.drop_ledger()
                lago.reset()
                lago.make_metric(CODE)
                lago.faults(*_faults(share))
                wire = _alone(bill)
                hits, events = _hits(lago.pending_faults()), lago.events()
                used, counted = _used(ground, truth), held(events)
                yield Side(who, hits, wire, len(events), beyond(used, counted), beyond(counted, used))


def _faults(share: float) -> list[dict[str, Any]]:
    """Faults that hit such a share of all requests; the n-th request has the same fate on both sides."""
    kinds = (*_STORED, *_NOT_STORED) if share else ()
    odds: dict[str, Any] = {"count": _MANY, "probability": share / (len(_STORED) + len(_NOT_STORED))}
    return [{**kind, **odds, "seed": SEED + place} for place, kind in enumerate(kinds)]


def _hits(faults: Collection[Mapping[str, Any]]) -> int:
    return sum(_MANY - int(fault["count"]) for fault in faults)


# The callback.


def _by_callback(environ: Mapping[str, str]) -> Wire:
    """Let the real callback log every successful row, by the worker that the proxy logs with."""
    os.environ |= {**environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}  # its import must not reach the network
    from litellm import ModelResponse, Usage
    from litellm.integrations.lago import LagoLogger
    from litellm.litellm_core_utils.logging_worker import LoggingWorker

    logging.getLogger("LiteLLM").setLevel(logging.CRITICAL)  # it would print every failure with its traceback
    with psycopg.connect(environ["DATABASE_URL"]) as connection:
        rows = connection.execute(_CALLS).fetchall()
    calls = []
    for request_id, model, customer, prompt, completion, spend in rows:
        usage = Usage(prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion)
        said = {
            "model": model,
            "response_cost": spend,
            "litellm_call_id": request_id,
            "litellm_params": {
                "metadata": {},
                "proxy_server_request": {"body": {"model": model} | ({"user": customer} if customer else {})},
            },
        }
        calls.append((said, ModelResponse(id=request_id, model=model, usage=usage)))

    async def log() -> None:
        callback, worker = LagoLogger(), LoggingWorker()
        worker.start()
        for said, response in calls:
            worker.enqueue(callback.async_log_success_event(said, response, None, None))
        await worker.flush()
        await worker.stop()

    return _counted(lambda: asyncio.run(log()))


def _requests(events: Collection[Mapping[str, Any]]) -> Usages:
    """What Lago holds by customer, model, tokens and cost: the callback sends nothing else of a request."""
    held: dict[tuple[object, ...], Usage] = {}
    for event in events:
        said = event["properties"]
        cost = Decimal(str(said["response_cost"]))
        key = (event["external_subscription_id"], said["model"], said["prompt_tokens"], said["completion_tokens"], cost)
        held[key] = held.get(key, Usage()).plus(Usage(1, cost))
    return held


# A pass.


def _by_pass(environ: Mapping[str, str], since: str) -> Wire:
    """Let passes bill all rows, until nothing is left to send."""

    def bill() -> None:
        asked = Request(since=lambda _: datetime.fromisoformat(since))
        for _ in range(PASSES):
            [summary] = Pass(load_settings(environ=environ)).run(asked)
            if summary.error is None and summary.balance and not summary.balance.planned_events:
                break
            asked = Request()

    return _counted(bill)


def _buckets(events: Collection[Mapping[str, Any]]) -> Usages:
    """What Lago holds by customer, model and window."""
    held: dict[tuple[object, ...], Usage] = {}
    for event in events:
        said = event["properties"]
        key = (said["customer"], said["model"], said["window"])
        held[key] = held.get(key, Usage()).plus(Usage(said["requests"], Decimal(said["response_cost"])))
    return held


# Both.


def _used(ground: Ground, query: str) -> Usages:
    """What the rows say."""
    with psycopg.connect(ground.url) as connection:
        rows = connection.execute(query.encode()).fetchall()
    return {tuple(key): Usage(requests, cost) for *key, requests, cost in rows}


def beyond(here: Usages, there: Usages) -> Usage:
    """Sum what is here and not there, key by key: what is too much at one makes up for nothing at another."""
    total = Usage()
    for key, usage in here.items():
        total = total.plus(usage.beyond(there.get(key, Usage())))
    return total


def _counted(work: Callable[[], None]) -> Wire:
    """Do the work and count what httpx sends meanwhile, which both sides use."""
    with _sizes() as sizes:
        began = time.perf_counter()
        work()
        return Wire(len(sizes), sum(sizes), time.perf_counter() - began)


@contextmanager
def _sizes() -> Iterator[list[int]]:
    sizes: list[int] = []

    def counting(send: Callable[..., Any]) -> Callable[..., Any]:
        def sending(client: object, request: httpx.Request, **options: Any) -> Any:
            sizes.append(len(request.content))
            return send(client, request, **options)

        return sending

    with (
        patch.object(httpx.Client, "send", counting(httpx.Client.send)),
        patch.object(httpx.AsyncClient, "send", counting(httpx.AsyncClient.send)),
    ):
        yield sizes


def _alone(work: Callable[[], Wire]) -> Wire:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work).result()
