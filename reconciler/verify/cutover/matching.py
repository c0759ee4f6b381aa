"""Which row of the spend table an event of LiteLLM's callback stands for. Pure.

The callback's ids are random, so an event is known by what it says: customer, model, tokens, cost, and the time at
which Lago took it. Where several rows fit, they say the same, and any of them will do: the one whose time ends first is
taken, so that as many events as can be find a row.
"""

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Context, Decimal
from itertools import count
from typing import Any

Tokens = tuple[int, int]
"""Prompt and completion tokens."""

_PLACES = Context(prec=12)
_LAST_DIGITS = Decimal("1e-14")
"""By such a part a cost may differ: the same double, written by another program, may end in another digit."""

_MANY = 10_000
"""So many places of rows are kept before those that are over are looked for."""


@dataclass(frozen=True)
class Row:
    """A request as the spend table has it.

    Attributes:
        key: tells rows apart.
        customer: who used it.
        since: not before this moment can its event have come to Lago.
        until: nor after this one.
        names: of its model, as the callback may have them.
        tokens: those of the request.
        cost: USD.
        sends_tokens: whether the callback sends them of such a request, as far as is known.
    """

    key: Any
    customer: str
    since: datetime
    until: datetime
    names: frozenset[str]
    tokens: Tokens
    cost: Decimal
    sends_tokens: bool = True


@dataclass(frozen=True)
class Sent:
    """An event of the callback's, as Lago has it.

    Attributes:
        key: tells events apart.
        customer: whose name it was sent under.
        moment: when Lago took it.
        model: what the callback called the model.
        tokens: None where it sends none: of text completions, responses and such.
        cost: USD.
    """

    key: Any
    customer: str
    moment: datetime
    model: str
    tokens: Tokens | None
    cost: Decimal


_Place = tuple[str, Tokens | None, Decimal, bool]


def match(items: Iterable[Row | Sent]) -> Iterator[tuple[Sent, Row]]:
    """Find a row for each event, none twice.

    Args:
        items: customer by customer; of each in the order of `since` and `moment`, rows first where these are equal.

    Returns:
        Those that found each other. Memory holds the rows of one customer whose time is not over.
    """
    customer, open_ = None, _Open()
    for item in items:
        if item.customer != customer:
            customer, open_ = item.customer, _Open()
        if isinstance(item, Row):
            open_.add(item)
        elif (row := open_.take(item)) is not None:
            yield item, row


class _Open:
    """The rows of a customer that have no event yet."""

    def __init__(self) -> None:
        self._rows: dict[_Place, list[tuple[datetime, int, Row]]] = {}
        self._taken: set[int] = set()
        self._numbers = count()
        self._kept, self._most = 0, _MANY

    def add(self, row: Row) -> None:
        """Let events take this row."""
        number = next(self._numbers)
        for cost in _roundings(row.cost):
            for name in row.names:
                for tokens in (row.tokens, None):
                    heapq.heappush(
                        self._rows.setdefault((name, tokens, cost, row.sends_tokens), []), (row.until, number, row)
                    )
                    self._kept += 1
        if self._kept > self._most:
            self._clear(row.since)

    def take(self, sent: Sent) -> Row | None:
        """The row that an event stands for: of those that fit, the one whose time ends first.

        Rows of requests of which the callback sends what this event says come first: an event without tokens leaves a
        chat's row to the event that names the chat's tokens.
        """
        has_tokens = sent.tokens is not None
        for sends_tokens in (has_tokens, not has_tokens):
            place = sent.model, sent.tokens, _PLACES.plus(sent.cost), sends_tokens
            if (row := self._first(self._rows.get(place, []), sent.moment)) is not None:
                return row
        return None

    def _first(self, fitting: list[tuple[datetime, int, Row]], moment: datetime) -> Row | None:
        while fitting:
            until, number, row = heapq.heappop(fitting)
            self._kept -= 1
            if until >= moment and number not in self._taken:
                self._taken.add(number)
                return row
        return None

    def _clear(self, now: datetime) -> None:
        """Forget the rows whose time is over, or that are taken."""
        left = {
            place: kept
            for place, rows in self._rows.items()
            if (kept := [each for each in rows if each[0] >= now and each[1] not in self._taken])
        }
        for rows in left.values():
            heapq.heapify(rows)
        self._rows, self._kept = left, sum(map(len, left.values()))
        self._taken = set()
        self._most = max(_MANY, 2 * self._kept)


def _roundings(cost: Decimal) -> set[Decimal]:
    """What a cost is rounded to, and what one that differs by its last digits only may be rounded to."""
    little = abs(cost) * _LAST_DIGITS
    return {_PLACES.plus(cost - little), _PLACES.plus(cost + little)}


_SENDS_TOKENS = {"completion", "acompletion", "embedding", "aembedding"}


def sends_tokens(call_type: str) -> bool:
    """Whether the callback sends the tokens of a request: it knows only chats and embeddings."""
    return call_type in _SENDS_TOKENS


def names(model: str, group: str) -> frozenset[str]:
    """What the callback may call a row's model.

    It sends the name without the provider; the responses API sends the name that the client asked for.

    Args:
        model: with its provider, as in `openai/gpt-4o-mini`.
        group: as the client asked for it.
    """
    return frozenset({model, model.partition("/")[2] or model, group or model})
