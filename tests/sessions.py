"""Sessions with a test's database, given from one pass to the next as a pooler does it: a new one costs half a pass."""

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import ExecStatus, TransactionStatus
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

from reconciler.database import pool

Session = psycopg.Connection[Any]

_connect: Callable[[str], Session] = pool._connect
_idle: dict[str, list[Session]] = {}
"""By the URL of each database that there is now."""

_url: weakref.WeakKeyDictionary[Session, str] = weakref.WeakKeyDictionary()
_defaults: weakref.WeakKeyDictionary[Session, Any] = weakref.WeakKeyDictionary()
"""What roles and databases set for sessions when this one began."""

_DEFAULTS = b"SELECT string_agg(each::text, ' ') FROM pg_catalog.pg_db_role_setting AS each"


def begin(url: str) -> None:
    """From here on keep sessions with the database of this URL."""
    _idle[url] = []


def end(url: str) -> None:
    """Close those that are idle, and keep no more."""
    close_idle(url)
    del _idle[url]


def close_idle(url: str) -> None:
    """Close those that are idle."""
    while _idle[url]:
        _idle[url].pop().close()


def take(url: str) -> Session:
    """A session with autocommit that began with the settings which a new one would have; `give_back` ends its use."""
    while kept := _idle.get(url):
        session = kept.pop()
        try:
            if _ask(session) == _defaults[session]:
                return session
        except psycopg.Error:  # the server was stopped, or has ended it
            pass
        session.close()
    session = _connect(url)
    _url[session], _defaults[session] = url, _ask(session)
    return session


def give_back(session: Session) -> None:
    """Keep a session for the next use; close it if it is in a transaction, broken or of no kept database."""
    url = _url.get(session)
    if url in _idle and session.info.transaction_status == TransactionStatus.IDLE:
        _idle[url].append(session)
    else:
        session.close()


@contextmanager
def use(url: str) -> Iterator[Session]:
    """Such a session for the `with` block."""
    session = take(url)
    try:
        yield session
    finally:
        give_back(session)


def share(patch: pytest.MonkeyPatch) -> None:
    """Let the pools of this process take their sessions from here and give them back, from now on."""
    patch.setattr(pool, "_connect", _take)
    patch.setattr(PGDialect_psycopg, "do_close", lambda _dialect, session: give_back(session))


def _take(conninfo: str) -> Session:
    url = next((url for url in _idle if conninfo_to_dict(url) == conninfo_to_dict(conninfo)), None)
    return _connect(conninfo) if url is None else take(url)


def _ask(session: Session) -> object:
    result = session.pgconn.exec_(_DEFAULTS)  # below what tests of crashes note: a pass takes no such step
    if result.status != ExecStatus.TUPLES_OK:
        raise psycopg.OperationalError(result.get_error_message())
    return result.get_value(0, 0)
