"""Plausible traffic of a LiteLLM proxy, the same for the same seed, with all that makes billing hard."""

import hashlib
import heapq
import math
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg

from reconciler.demo.litellm import SpendRow, write_rows


@dataclass(frozen=True)
class Model:
    """A deployment and its list prices, in USD per token."""

    group: str
    name: str
    provider: str
    input_price: float
    output_price: float
    cached_price: float
    call_type: str = "acompletion"

    def cost(self, prompt: int, completion: int, cached: int) -> float:
        """Return what LiteLLM would store as `spend`: products and sums of binary floats, never rounded."""
        return (prompt - cached) * self.input_price + cached * self.cached_price + completion * self.output_price


MODELS = (
    Model("gpt-4o-mini", "openai/gpt-4o-mini", "openai", 1.5e-07, 6e-07, 7.5e-08),
    Model("gpt-4o", "openai/gpt-4o", "openai", 2.5e-06, 1e-05, 1.25e-06),
    Model("claude", "anthropic/claude-sonnet-4-5", "anthropic", 3e-06, 1.5e-05, 3e-07, "anthropic_messages"),
    Model("flash", "gemini/gemini-2.5-flash", "gemini", 3e-07, 2.5e-06, 3e-08),
    Model("embed", "openai/text-embedding-3-small", "openai", 2e-08, 0.0, 0.0, "aembedding"),
    Model("unpriced", "openai/my-unpriced-model", "openai", 0.0, 0.0, 0.0),
)
_MODEL_WEIGHTS = (40, 20, 15, 15, 8, 2)

_NAMES = (
    "acme",
    "globex",
    "O'Brien & Söhne",
    "initech",
    '"Quoted", Inc.',
    "🦊-labs",
    "umbrella",
    "back\\slash",
)

# What happens to a request, and how often of a thousand.
_FATES = {
    "plain": 500,
    "stream": 350,
    "cache hit": 60,
    "failure": 40,
    "broken stream": 15,  # a failure that costs
    "long": 20,  # half an hour and more: the row is late
    "parked": 5,  # kept in Redis through an outage: the row is hours late
    "batch": 10,  # the reduced row of a batch's cost: no customer, no model, but spend
}


def customers(count: int) -> list[str]:
    """Return the ids of `count` customers: some with quotes, emoji or a backslash, then plain ones."""
    return [*_NAMES, *(f"customer-{number:04}" for number in range(len(_NAMES), count))][:count]


def generate(
    seed: int, since: datetime, until: datetime, requests: int, *, customer_count: int = 12
) -> Iterator[SpendRow]:
    """Yield the rows of `requests` requests that start in [since, until), in the order the proxy writes them.

    A row's `created_at` is when it is written: of long and parked calls long after `startTime`, perhaps after
    `until`. A customer has a team of its own, and a few users with a key each. About three requests in a
    hundred have no customer, `''` or NULL. Same arguments, same rows.
    """
    rng = random.Random(seed)  # noqa: S311 - plausible, not secret
    names = customers(customer_count)
    popularity = [1 / rank for rank in range(1, len(names) + 1)]
    unwritten: list[tuple[datetime, int, SpendRow]] = []
    for number, start in enumerate(_starts(rng, _naive(since), _naive(until), requests)):
        while unwritten and unwritten[0][0] <= start:
            yield heapq.heappop(unwritten)[2]
        row = _row(rng, start, rng.choices(names, popularity)[0])
        heapq.heappush(unwritten, (row["created_at"], number, row))
    while unwritten:
        yield heapq.heappop(unwritten)[2]


def write(conninfo: str, rows: Iterable[SpendRow]) -> int:
    """Append rows to the spend table by COPY, in one transaction; return their number."""
    with psycopg.connect(conninfo) as connection:
        return write_rows(connection, rows)


def _naive(moment: datetime) -> datetime:
    """The table's times have no zone and hold UTC."""
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


def _starts(rng: random.Random, since: datetime, until: datetime, count: int) -> Iterator[datetime]:
    """Yield uniform random moments in ascending order without keeping them."""
    span, remaining = (until - since) // timedelta(milliseconds=1), 1.0
    for left in range(count, 0, -1):
        remaining *= rng.random() ** (1 / left)
        yield since + timedelta(milliseconds=min(math.floor(span * (1 - remaining)), span - 1))


def _row(rng: random.Random, start: datetime, customer: str) -> dict[str, Any]:
    fate = rng.choices(list(_FATES), list(_FATES.values()))[0]
    end = start + _duration(rng, fate)
    written = end + (timedelta(minutes=rng.randrange(60, 480)) if fate == "parked" else _lag(rng))
    call_id = UUID(int=rng.getrandbits(128), version=4)
    if fate == "batch":
        return _batch_row(rng, start, end, written, call_id)

    model = rng.choices(MODELS, _MODEL_WEIGHTS)[0]
    failed = fate in {"failure", "broken stream"}
    prompt = 1 + int(rng.lognormvariate(6, 1.4))
    completion = 0 if fate == "failure" or not model.output_price else 1 + int(rng.lognormvariate(5, 1.2))
    cached = rng.randrange(prompt) if model.cached_price and rng.random() < 0.2 else 0
    spend = 0.0 if fate in {"failure", "cache hit"} else model.cost(prompt, completion, cached)
    user = f"{customer}/user-{rng.randrange(3)}"
    end_user = rng.choice(("", None)) if rng.random() < 0.03 else customer
    request_id = str(call_id) if failed or model.call_type == "aembedding" else f"chatcmpl-{call_id}"
    if fate == "cache hit":
        request_id += f"_cache_hit{end.replace(tzinfo=UTC).timestamp()}"
    usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    status = "failure" if failed else "success"
    return {
        "request_id": request_id,
        "call_type": model.call_type,
        "api_key": hashlib.sha256(user.encode()).hexdigest(),
        "spend": spend,
        **usage,
        "startTime": start,
        "endTime": end,
        "completionStartTime": start + (end - start) / 10 if fate == "stream" else end,
        "model": model.name,
        "model_id": hashlib.sha256(model.name.encode()).hexdigest(),
        "model_group": model.group,
        "custom_llm_provider": model.provider,
        "api_base": "",
        "user": user,
        "metadata": {
            "status": status,
            "usage_object": {**usage, "prompt_tokens_details": {"cached_tokens": cached}},
            "cost_breakdown": {"total_cost": spend},
            "user_api_key_alias": user,
        },
        "cache_hit": "True" if fate == "cache hit" else rng.choice(("None", "False")),
        "cache_key": "Cache OFF",
        "request_tags": ["User-Agent: openai-python"],
        "team_id": rng.choice(("", None)) if rng.random() < 0.03 else f"team of {customer}",
        "end_user": end_user,
        "requester_ip_address": "127.0.0.1",
        "session_id": str(UUID(int=rng.getrandbits(128), version=4)),
        "status": status,
        "organization_id": "",
        "request_duration_ms": (end - start) // timedelta(milliseconds=1),
        "created_at": written,
        "updated_at": written,
        "litellm_call_id": str(call_id),
    }


def _batch_row(rng: random.Random, start: datetime, end: datetime, written: datetime, call_id: UUID) -> dict[str, Any]:
    """The row that a proxy without spend logs still writes: ids are NULL, the rest keeps its defaults."""
    return {
        "request_id": f"batch_{call_id.hex}_batch_cost",
        "call_type": "aretrieve_batch",
        "spend": MODELS[0].cost(rng.randrange(10_000, 500_000), rng.randrange(1_000, 50_000), 0) / 2,
        "startTime": start,
        "endTime": end,
        "status": "success",
        "created_at": written,
        "updated_at": written,
    }


def _duration(rng: random.Random, fate: str) -> timedelta:
    if fate == "long":
        seconds = rng.uniform(1800, 6000)
    elif fate == "cache hit":
        seconds = rng.uniform(0.001, 0.02)
    else:
        seconds = min(rng.lognormvariate(1, 1), 600)
    return timedelta(milliseconds=math.ceil(seconds * 1000))


def _lag(rng: random.Random) -> timedelta:
    """The time a row waits in the proxy's queue (measured: median 4.6 s, at most 12.3 s)."""
    return timedelta(milliseconds=rng.randrange(90, 12_300))
