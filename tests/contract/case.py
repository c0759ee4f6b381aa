"""One promise of Lago's API: a request, what goes before it, and the answer that is expected.

In all texts `$run` stands for a prefix of the case's own, so that it needs no empty organization; `$month` for the
start of this month and `$now` for the seconds since 1970, both in UTC; `$billable_metric` and `$plan` for the
`lago_id` of what the case made last.
"""

import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from string import Template
from typing import Any, NamedTuple

import httpx

from tests.contract.target import StoreName, Target

_PATIENCE_WITH_LIMITS = 10


@dataclass(frozen=True)
class Ask:
    """A request under `/api/v1/`; `content` is sent as it is.

    `status` is what it has to be answered with where it goes before another.
    """

    method: str
    path: str
    json: Any = None
    content: str | bytes | None = None
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    status: int = 200


@dataclass(frozen=True)
class Case:
    """What is expected of a request.

    Attributes:
        name: the promise in a few words, unique.
        ask: the request.
        status: of its answer.
        body: of its answer: JSON, in which a `Like` stands for what differs from run to run, `AtLeast` for an
            object that may say more, `AnyOrder` for a list in any order, and `PerStore` for what depends on the
            event store; text is no JSON.
        before: requests that go first.
        source: where Lago's source, specs or documentation say so, or how it was found out otherwise.
        only: the store that it is known of, None for both.
        since: the first version of Lago that is known to do so, None for all since 1.28.
    """

    name: str
    ask: Ask
    status: Any
    body: Any
    before: Sequence[Ask] = ()
    source: str = "code"
    only: StoreName | None = None
    since: str | None = None


def since(version: str, cases: Iterable[Case]) -> list[Case]:
    """Return cases that hold from a version on, unless they name their own."""
    return [case if case.since else replace(case, since=version) for case in cases]


class Like(NamedTuple):
    """A value that is not known beforehand."""

    what: str
    fits: Callable[[Any], bool]


class AtLeast(NamedTuple):
    """An object with these members, and maybe more."""

    members: dict[str, Any]


class AnyOrder(NamedTuple):
    """A list of these, in any order."""

    members: list[Any]


class PerStore(NamedTuple):
    """What depends on the event store."""

    postgres: Any
    clickhouse: Any


def _is_uuid(value: Any) -> bool:
    try:
        return isinstance(value, str) and str(uuid.UUID(value)) == value
    except ValueError:
        return False


def _instant(value: Any) -> datetime | None:
    try:
        return datetime.fromisoformat(value) if isinstance(value, str) and value.endswith("Z") else None
    except ValueError:
        return None


def _is_recent(value: Any) -> bool:
    moment = _instant(value)
    return moment is not None and abs(moment.timestamp() - time.time()) < 300


UUID = Like("a UUID", _is_uuid)
INSTANT = Like("an instant", lambda value: _instant(value) is not None)
RECENT = Like("an instant of about now", _is_recent)
TEXT = Like("text", lambda value: isinstance(value, str) and value != "")
WHOLE = Like("a whole number", lambda value: isinstance(value, int))


def decimal(text: str) -> Like:
    """Return what fits any writing of a number in plain notation."""
    return Like(f"the number {text} in plain notation", lambda value: _is_number(value, Decimal(text)))


def _is_number(value: Any, number: Decimal) -> bool:
    return isinstance(value, str) and "e" not in value and Decimal(value) == number


def differences(case: Case, target: Target) -> list[str]:
    """Play a case; return in what its answer differs, or what went wrong before it, in words.

    What is read is asked for again while it differs, as long as the target may lag behind what was written.
    """
    try:
        return _differences(case, target)
    except httpx.TransportError as error:
        return [f"no answer: {error or type(error).__name__}"]


def _differences(case: Case, target: Target) -> list[str]:
    now = datetime.now(UTC)
    values = {
        "run": f"contract-{uuid.uuid4().hex[:12]}",
        "month": now.strftime("%Y-%m-01T00:00:00Z"),
        "now": f"{now.timestamp():.3f}",
    }
    for ask in case.before:
        answer = _send(ask, target.client, values)
        if answer.status_code != ask.status:
            told = f"expected {ask.status}, got {answer.status_code} {answer.text}"
            return [f"before it, {ask.method} {ask.path}: {told}"]
        if isinstance(made := _content(answer), dict):
            values |= {root: thing["lago_id"] for root, thing in made.items() if _is_thing(thing)}
    deadline = time.monotonic() + (target.patience if case.ask.method == "GET" else 0)
    while True:
        answer = _send(case.ask, target.client, values)
        different = _compare("status", case.status, answer.status_code, target.store)
        if different:
            different = [f"{different[0]} {answer.text}".strip()]
        else:
            different = _compare("body", _fill(case.body, values), _content(answer), target.store)
        if not different or time.monotonic() > deadline:
            return different
        time.sleep(0.1)


def _is_thing(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("lago_id"), str)


def _send(ask: Ask, client: httpx.Client, values: Mapping[str, str]) -> httpx.Response:
    headers = {"Accept": "application/json", **ask.headers}
    body: dict[str, Any] = {} if ask.json is None else {"json": _fill(ask.json, values)}
    if ask.content is not None:
        body["content"] = _fill(ask.content, values)
    query = _fill(ask.query, values) or None
    for _ in range(_PATIENCE_WITH_LIMITS):
        answer = client.request(ask.method, _fill(ask.path, values), params=query, headers=headers, **body)
        if answer.status_code != 429:
            break
        time.sleep(float(answer.headers.get("X-RateLimit-Reset", "1")))
    return answer


def _fill(value: Any, values: Mapping[str, str]) -> Any:
    match value:
        case str():
            return Template(value).safe_substitute(values)
        case AtLeast():
            return AtLeast(_fill(value.members, values))
        case AnyOrder():
            return AnyOrder(_fill(value.members, values))
        case PerStore():
            return PerStore(_fill(value.postgres, values), _fill(value.clickhouse, values))
        case Like():
            return value
        case Mapping():
            return {_fill(name, values): _fill(member, values) for name, member in value.items()}
        case list():
            return [_fill(member, values) for member in value]
        case _:
            return value


def _content(answer: httpx.Response) -> Any:
    try:
        return answer.json()
    except ValueError:
        return answer.text


def _compare(where: str, expected: Any, got: Any, store: StoreName) -> list[str]:
    """Return how `got` differs from what is expected, each difference with its place."""
    match expected:
        case PerStore():
            return _compare(where, getattr(expected, store), got, store)
        case Like():
            return [] if expected.fits(got) else [f"{where}: expected {expected.what}, got {got!r}"]
        case AnyOrder():
            return _compare_in_any_order(where, expected.members, got, store)
        case AtLeast() | dict():
            members = expected.members if isinstance(expected, AtLeast) else expected
            if not isinstance(got, dict):
                return [f"{where}: expected {members!r}, got {got!r}"]
            more = [] if isinstance(expected, AtLeast) else sorted(got.keys() - members.keys())
            return [
                *(f"{where}.{name}: not expected, got {got[name]!r}" for name in more),
                *(f"{where}.{name}: expected, but missing" for name in members if name not in got),
                *(
                    each
                    for name, member in members.items()
                    if name in got
                    for each in _compare(f"{where}.{name}", member, got[name], store)
                ),
            ]
        case list() if isinstance(got, list) and len(got) == len(expected):
            pairs = enumerate(zip(expected, got, strict=True))
            return [each for i, (one, other) in pairs for each in _compare(f"{where}[{i}]", one, other, store)]
        case _:
            same = expected == got and type(expected) is type(got)
            return [] if same else [f"{where}: expected {expected!r}, got {got!r}"]


def _compare_in_any_order(where: str, members: list[Any], got: Any, store: StoreName) -> list[str]:
    """Return what of a list is expected and missing; each item of `got` stands for one."""
    if not isinstance(got, list) or len(got) != len(members):
        return [f"{where}: expected {members!r}, got {got!r}"]
    left, missing = list(got), []
    for member in members:
        same = next((one for one in left if not _compare(where, member, one, store)), None)
        if same is None:
            missing.append(f"{where}: expected {member!r} among {left!r}")
        else:
            left.remove(same)
    return missing
