"""The steps of a pass: every point at which a crash can fall, and which of them are one and the same.

A step is a statement before it is sent, a commit before and after, a COPY and each of its blocks, and a request to
Lago before it is written and after it was answered, its answer not yet read. They are noted outside of the product,
where it meets psycopg and httpx, over all threads.

A step's name leaves its values out: a statement is named by its text, a commit by what its transaction wrote, an
answer by its path and status. So a loop takes a step of the same name again and again, and `distinct` needs only few.
"""

import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, Literal, NamedTuple
from weakref import WeakKeyDictionary

import httpx
import psycopg
import pytest
from psycopg.pq import TransactionStatus

Kind = Literal["statement", "commit", "committed", "copy", "request", "answer"]

LASTING: frozenset[Kind] = frozenset({"committed", "answer"})
"""After these something lasts. Between two of them nothing does: Postgres rolls back what was not committed."""

NOTHING = "nothing"
"""What a transaction wrote that only read."""

# A write is named by its verb, what it writes to and, of an update, the first column: a claim is none of an answer.
_WRITE = re.compile(
    r"\b(INSERT INTO|DELETE FROM|MERGE INTO|TRUNCATE|COPY|(?<!FOR )(?<!KEY )(?<!DO )(?<!ON )UPDATE"
    r"|(?:CREATE|ALTER|DROP)(?: [A-Z]+)+?)(?: IF(?: NOT)? EXISTS)?(?: ONLY)? ([a-z\"][\w.\"]*)"
    r"(?:(?: AS)? [a-z]\w*)?( SET \(?[\w\"]+)?"
)
_TEXT = re.compile(r"'(?:[^']|'')*'")
_NUMBER = re.compile(r"(?<=[\W_])\d+\b")
_AGAIN = re.compile(r"(\((?:[^()]|\([^()]*\))*\))(?:, ?\1)+")
_ID = re.compile(r"(?<=/)(?!v\d|[a-z_]+(?:/|$))[^/]+")


class Crash(BaseException):
    """The end of a process, in a process that goes on: nothing catches it."""


class Step(NamedTuple):
    """One step; the number counts those of its kind and name."""

    kind: Kind
    name: str
    number: int

    def __str__(self) -> str:
        return f"{self.kind} {self.name} [{self.number}]"

    @property
    def asks(self) -> bool:
        """Whether it surely changes nothing: a request that only asks, or the end of what only read."""
        return self.name == NOTHING or (self.kind in {"request", "answer"} and self.name.startswith("GET"))


class Steps:
    """Notes steps and strikes at one of them."""

    def __init__(
        self,
        strike: Callable[[str], None],
        *,
        at: str | int | None = None,
        near: str | None = None,
        kinds: frozenset[Kind] | None = None,
    ) -> None:
        """Take when to strike, and how.

        Args:
            strike: called once, with the step as text, before the step is done. A `Crash` that it raises is raised at
                every later step too, in every thread: the dead do nothing more.
            at: the step to strike at, as text or by its number among all, from 1.
            near: strike at the first step whose kind and whole text hold this.
            kinds: note only these; requests that only ask (GET) change nothing and are left out with that.
        """
        self.taken: list[Step] = []
        self._strike = strike
        self._at = at
        self._near = near
        self._kinds = kinds
        self._numbers: Counter[tuple[Kind, str]] = Counter()
        self._open: WeakKeyDictionary[psycopg.Connection[Any], list[tuple[Step | None, str]]] = WeakKeyDictionary()
        self._middles: dict[str, Step] = {}
        self._lock = threading.Lock()
        self._struck = False
        self._dead = False

    @property
    def distinct(self) -> Sequence[Step]:
        """The steps before or after which what lasts differs, in the order they were taken.

        That is the first of each name, the last one too right after something lasts, and one statement in the middle of
        each transaction: wherever in it a crash falls, Postgres rolls it back. What only asks leaves nothing behind.
        """
        few = {
            step
            for step in self.taken
            if step.kind != "statement"
            and not step.asks
            and step.number in ({1, self._numbers[step.kind, step.name]} if step.kind in LASTING else {1})
        }
        few.update(self._middles.values())
        return [step for step in self.taken if step in few]

    def take(self, kind: Kind, name: str, text: str = "") -> Step | None:
        """Note a step; strike if it is the one."""
        with self._lock:
            if self._dead:
                raise Crash
            if self._kinds is not None and (kind not in self._kinds or name.startswith("GET")):
                return None
            self._numbers[kind, name] += 1
            step = Step(kind, name, self._numbers[kind, name])
            self.taken.append(step)
            near = self._near is not None and self._near in f"{kind} {text or name}"
            if self._struck or not (near or self._at in {str(step), len(self.taken)}):
                return step
            self._struck = True
            try:
                self._strike(str(step))
            except Crash:
                self._dead = True
                raise
            return step

    def statement(self, connection: "psycopg.Connection[Any]", kind: Kind, query: Any) -> None:
        """Note a statement, of the connection's transaction."""
        text = " ".join((query.as_string() if isinstance(query, psycopg.sql.Composable) else str(query)).split())
        if connection.info.transaction_status == TransactionStatus.IDLE:
            self._open[connection] = []
        step = self.take(kind, _plain(text), text)
        self._open.setdefault(connection, []).append((step, text))

    @contextmanager
    def commit(self, connection: "psycopg.Connection[Any]") -> Iterator[None]:
        """Note a commit, before and after."""
        inside = self._open.pop(connection, [])
        name = ", ".join(_shortened([write for _, text in inside for write in _writes(text)])) or NOTHING
        if inside and (middle := inside[len(inside) // 2][0]):
            self._middles.setdefault(name, middle)
        self.take("commit", name)
        yield
        self.take("committed", name)


def crash(step: str) -> None:
    """Strike by a `Crash`."""
    raise Crash(step)


@contextmanager
def counted(steps: Steps) -> Iterator[Steps]:
    """Let every step inside be noted."""
    execute, many, copy = psycopg.Cursor.execute, psycopg.Cursor.executemany, psycopg.Cursor.copy
    write, commit, handle = psycopg.Copy.write, psycopg.Connection.commit, httpx.HTTPTransport.handle_request

    def counted_execute(self: Any, query: Any, *args: Any, **options: Any) -> Any:
        steps.statement(self.connection, "statement", query)
        return execute(self, query, *args, **options)

    def counted_many(self: Any, query: Any, *args: Any, **options: Any) -> None:
        steps.statement(self.connection, "statement", query)
        many(self, query, *args, **options)

    def counted_copy(self: Any, query: Any, *args: Any, **options: Any) -> Any:
        steps.statement(self.connection, "copy", query)
        return copy(self, query, *args, **options)

    def counted_write(self: Any, *args: Any) -> None:
        steps.take("copy", "block")
        write(self, *args)

    def counted_commit(self: Any) -> None:
        with steps.commit(self):
            commit(self)

    def counted_request(self: Any, request: httpx.Request) -> httpx.Response:
        if not request.url.path.startswith("/api/"):  # a test speaks to the stand-in
            return handle(self, request)
        name = f"{request.method} {_ID.sub('…', request.url.path)}"
        steps.take("request", name)
        response = handle(self, request)
        steps.take("answer", f"{name} {response.status_code}")
        return response

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(psycopg.Cursor, "execute", counted_execute)
        patch.setattr(psycopg.Cursor, "executemany", counted_many)
        patch.setattr(psycopg.Cursor, "copy", counted_copy)
        patch.setattr(psycopg.Copy, "write", counted_write)
        patch.setattr(psycopg.Connection, "commit", counted_commit)
        patch.setattr(httpx.HTTPTransport, "handle_request", counted_request)
        yield steps


@cache
def _plain(text: str) -> str:
    """A statement without its values, however many rows of them there are."""
    return _AGAIN.sub(r"\1", _NUMBER.sub("n", _TEXT.sub("'…'", text)))


@cache
def _writes(text: str) -> Sequence[str]:
    """What a statement writes."""
    return [" ".join(write.split()) for write in map(" ".join, _WRITE.findall(_TEXT.sub("", text)))]


def _shortened(writes: list[str]) -> Sequence[str]:
    """Each once, and few of those that make a schema."""
    once = list(dict.fromkeys(writes))
    return once if len(once) <= 8 else [*once[:4], f"{len(once) - 8} more", *once[-4:]]
