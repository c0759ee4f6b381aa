"""Rows and events brought side by side in a transaction of the ledger, and which row each event stands for."""

from collections.abc import Iterable, Iterator
from datetime import timedelta
from itertools import islice
from typing import Any, NamedTuple
from uuid import UUID

import psycopg
from sqlalchemy import Connection

from reconciler.database.postgres import cursor, execute
from reconciler.database.statements import statement
from reconciler.verify.cutover.matching import Row, Sent, match, names, sends_tokens

SKEW = timedelta(minutes=1)
"""By so much Lago's clock may be behind the proxy's."""

SLACK = timedelta(minutes=15)
"""So long after a request's end its event may come: it waits in the proxy's queue, and clocks differ."""

_AT_ONCE = 5000


class Pair(NamedTuple):
    """An event's id, and the row that it stands for."""

    id: UUID
    window_start: object
    number: int


def pair(connection: Connection) -> None:
    """Fill the temp table `matched` from `requests` and `counted`: what was taken over before first, then the rest."""
    execute(connection, "cutover/matched_table")
    for name, before in (("before", True), ("open", False)):
        left = _pairs(connection, f"cutover/{name}")
        while pairs := list(islice(left, _AT_ONCE)):
            with cursor(connection).copy("COPY pg_temp.matched FROM STDIN") as copy:
                for each in pairs:
                    copy.write_row((*each, before))
        execute(connection, "cutover/analyze")


def _pairs(connection: Connection, name: str) -> Iterator[Pair]:
    for sent, row in match(_items(_streamed(connection, name))):
        yield Pair(sent.key, *row.key)


def _items(rows: Iterable[tuple[Any, ...]]) -> Iterator[Row | Sent]:
    for customer, since, until, id_, window_start, number, name, group, call_type, into, out, cost in rows:
        if id_ is None:
            said = names(name, group), (into, out), cost, sends_tokens(call_type)
            yield Row((window_start, number), customer, since, until, *said)
        else:
            tokens = None if into is None or out is None else (into, out)
            yield Sent(id_, customer, since, name, tokens, cost)


def _streamed(connection: Connection, name: str) -> Iterator[tuple[Any, ...]]:
    """The rows of a statement, some at a time by a cursor of the server's."""
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    with driver.cursor("side_by_side") as rows:
        rows.itersize = _AT_ONCE
        rows.execute(statement(name), {"skew": SKEW, "slack": SLACK})
        yield from rows
