"""Connections to one database: as many as its URL allows and its server gives, shared by all that use it."""

import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from sqlalchemy import Connection, create_engine, event, exc
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

from reconciler.database.address import Database

MOST = 8
"""The most connections that are open at once, if the URL allows no fewer."""

WAIT_SECONDS = 30.0
"""How long to wait until another thread gives a connection back."""

IDLE_SECONDS = 1.0
"""A connection that has idled for longer is tried before it is used."""

CONNECT_TIMEOUT = 10
"""Seconds to wait for a connection."""


class NoneLeftError(Exception):
    """All connections that there may be are in use, and none was given back in time."""


class Dialect(PGDialect_psycopg):
    """Postgres as SQLAlchemy's Core speaks with it, without its questions at a first connection.

    They are five round trips, and ask for current_schema() and the like by names that others may have planted.
    """

    supports_statement_cache = True

    def initialize(self, connection: Connection) -> None:
        """Ask nothing: all versions that we support are alike in what our statements need."""


registry.register("postgresql.unasked", __name__, Dialect.__name__)


class Pool:
    """The connections; threads that find all of them in use wait."""

    def __init__(self, database: Database) -> None:
        """Connect to nothing yet."""
        self._size = min(database.connections or MOST, MOST)
        self._engine = create_engine(
            "postgresql+unasked://",
            creator=partial(_connect, database.conninfo),
            pool_size=self._size,
            max_overflow=0,
            use_native_hstore=False,
            hide_parameters=True,
        )
        event.listen(self._engine, "checkin", _note_use)
        event.listen(self._engine, "checkout", _ping_if_idle)
        weakref.finalize(self, self._engine.dispose)
        self._places = threading.Semaphore(self._size)
        self._in_use: set[Connection] = set()
        self._given_back = 0

    def close(self) -> None:
        """Close the connections; the next use opens another."""
        self._engine.dispose()
        self._places = threading.Semaphore(self._size)

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """A connection, given back at the end.

        Raises:
            NoneLeftError: all of them are in use for long.
            sqlalchemy.exc.DBAPIError: the server gives not even one.
        """
        places = self._places
        connection = self._take(places)
        self._in_use.add(connection)
        try:
            with connection:
                yield connection
        finally:
            self._given_back += 1
            self._in_use.discard(connection)
            places.release()

    def _take(self, places: threading.Semaphore) -> Connection:
        self._wait(places)
        while True:
            given_back = self._given_back
            try:
                return self._engine.connect()
            except exc.OperationalError:
                if self._in_use:  # the server gives no more than these: this place is none, another's is waited for
                    self._wait(places)
                elif given_back == self._given_back:
                    places.release()
                    raise
            except BaseException:
                places.release()
                raise

    def _wait(self, places: threading.Semaphore) -> None:
        if not places.acquire(timeout=WAIT_SECONDS):
            raise NoneLeftError


def _connect(conninfo: str) -> psycopg.Connection:
    # What a connection asks for at its start, a pooler may leave in a session that others get: so nothing.
    given: dict[str, Any] = {"connect_timeout": CONNECT_TIMEOUT} | conninfo_to_dict(conninfo)
    given.pop("application_name", None)
    # autocommit: transactions begin with a statement of ours.
    # prepare_threshold=None: a prepared statement would outlive its transaction in a pooled session.
    return psycopg.connect(make_conninfo(**given), autocommit=True, prepare_threshold=None)


def _note_use(_driver: psycopg.Connection, record: Any) -> None:
    record.info["used_at"] = time.monotonic()


def _ping_if_idle(driver: psycopg.Connection, record: Any, _proxy: object) -> None:
    """See that a connection which has idled still works: the server may have been restarted since."""
    if time.monotonic() - record.info.get("used_at", time.monotonic()) < IDLE_SECONDS:
        return
    try:
        driver.execute("SELECT 1")
        driver.rollback()
    except psycopg.Error as error:
        raise exc.DisconnectionError from error
