"""The steps of a pass, counted: every point at which a crash can fall.

A step is a statement before it is sent, a commit before and after, a COPY and each of its blocks, and a request to
Lago before it is written and after it was answered, its answer not yet read. They are counted outside of the product,
where it meets psycopg and httpx, over all threads.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import httpx
import psycopg
import pytest

Kind = Literal["statement", "commit", "committed", "copy", "request", "answer"]

LASTING: frozenset[Kind] = frozenset({"commit", "request"})
"""Before these. Between two of them nothing lasts: Postgres rolls back what was not committed."""


class Crash(BaseException):
    """The end of a process, in a process that goes on: nothing catches it."""


class Steps:
    """Counts steps and strikes at one of them."""

    def __init__(
        self,
        strike: Callable[[str], None],
        *,
        at: int | None = None,
        near: str | None = None,
        kinds: frozenset[Kind] | None = None,
    ) -> None:
        """Take when to strike, and how.

        Args:
            strike: called once, with the step's text, before the step is done. A `Crash` that it raises is raised at
                every later step too, in every thread: the dead do nothing more.
            at: the number of the step to strike at, from 1.
            near: strike at the first step whose text holds this.
            kinds: count only these; requests that only ask (GET) change nothing and are left out with that.
        """
        self.taken: list[str] = []
        self._strike = strike
        self._at = at
        self._near = near
        self._kinds = kinds
        self._lock = threading.Lock()
        self._struck = False
        self._dead = False

    def take(self, kind: Kind, text: str = "") -> None:
        """Count a step; strike if it is the one."""
        with self._lock:
            if self._dead:
                raise Crash
            if self._kinds is not None and (kind not in self._kinds or text.startswith("GET")):
                return
            step = f"{kind} {text}".strip()
            self.taken.append(step)
            here = len(self.taken) == self._at or (self._near is not None and self._near in step)
            if self._struck or not here:
                return
            self._struck = True
            try:
                self._strike(step)
            except Crash:
                self._dead = True
                raise


def crash(step: str) -> None:
    """Strike by a `Crash`."""
    raise Crash(step)


@contextmanager
def counted(steps: Steps) -> Iterator[Steps]:
    """Let every step inside be counted."""
    execute, copy, write = psycopg.Cursor.execute, psycopg.Cursor.copy, psycopg.Copy.write
    commit, handle = psycopg.Connection.commit, httpx.HTTPTransport.handle_request

    def counted_execute(self: Any, query: Any, *args: Any, **options: Any) -> Any:
        steps.take("statement", _text(query))
        return execute(self, query, *args, **options)

    def counted_copy(self: Any, query: Any, *args: Any, **options: Any) -> Any:
        steps.take("copy", _text(query))
        return copy(self, query, *args, **options)

    def counted_write(self: Any, *args: Any) -> None:
        steps.take("copy", "block")
        write(self, *args)

    def counted_commit(self: Any) -> None:
        steps.take("commit")
        commit(self)
        steps.take("committed")

    def counted_request(self: Any, request: httpx.Request) -> httpx.Response:
        if not request.url.path.startswith("/api/"):  # a test speaks to the stand-in
            return handle(self, request)
        steps.take("request", f"{request.method} {request.url.path}")
        response = handle(self, request)
        steps.take("answer", f"{request.method} {request.url.path}")
        return response

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(psycopg.Cursor, "execute", counted_execute)
        patch.setattr(psycopg.Cursor, "copy", counted_copy)
        patch.setattr(psycopg.Copy, "write", counted_write)
        patch.setattr(psycopg.Connection, "commit", counted_commit)
        patch.setattr(httpx.HTTPTransport, "handle_request", counted_request)
        yield steps


def _text(query: Any) -> str:
    return " ".join((query.as_string() if isinstance(query, psycopg.sql.Composable) else str(query)).split())
