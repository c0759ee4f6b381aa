"""Which row an event of the callback's stands for: by what it says, once each, and as many as can be."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.verify.cutover.matching import Row, Sent, match, names

BEGIN = datetime(2026, 11, 24, 12, tzinfo=UTC)
COST = Decimal("0.0000135")


def at(seconds: float) -> datetime:
    return BEGIN + timedelta(seconds=seconds)


def row(key: Any = "row", since: float = 0, until: float = 60, **other: Any) -> Row:
    said: dict[str, Any] = {
        "customer": "acme",
        "names": names("openai/gpt-4o-mini", "mini"),
        "tokens": (10, 20),
        "cost": COST,
    } | other
    return Row(key, since=at(since), until=at(until), **said)


def sent(key: Any = "event", moment: float = 30, **other: Any) -> Sent:
    said: dict[str, Any] = {"customer": "acme", "model": "gpt-4o-mini", "tokens": (10, 20), "cost": COST} | other
    return Sent(key, moment=at(moment), **said)


def pairs(*items: Row | Sent) -> list[tuple[Any, Any]]:
    def place(item: Row | Sent) -> tuple[Any, ...]:
        return item.customer, item.since if isinstance(item, Row) else item.moment, isinstance(item, Sent)

    return [(event.key, one.key) for event, one in match(sorted(items, key=place))]


@pytest.mark.parametrize(
    ("event", "fits"),
    [
        (sent(), True),
        (sent(model="mini"), True),
        (sent(model="openai/gpt-4o-mini"), True),
        (sent(model="gpt-4o"), False),
        (sent(tokens=None), True),
        (sent(tokens=(10, 21)), False),
        (sent(customer="globex"), False),
        (sent(cost=Decimal("0.0000136")), False),
        (sent(cost=Decimal("0.000013500000000000002")), True),
        (sent(moment=-1), False),
        (sent(moment=0), True),
        (sent(moment=60), True),
        (sent(moment=61), False),
    ],
)
def test_an_event_stands_for_a_row_that_says_the_same_at_its_time(event: Sent, fits: bool) -> None:
    assert pairs(row(), event) == ([("event", "row")] if fits else [])


def test_no_row_stands_for_two_events() -> None:
    assert pairs(row(), sent("first", 10), sent("again", 11)) == [("first", "row")]


def test_of_equal_rows_the_one_whose_time_ends_first_is_taken() -> None:
    assert pairs(row("long", 0, 100), row("short", 5, 20), sent("a", 10), sent("b", 50)) == [
        ("a", "short"),
        ("b", "long"),
    ]


def test_an_event_without_tokens_leaves_a_chats_row_to_the_event_that_names_its_tokens() -> None:
    chat, text = row("chat", 0, 50), row("text", 0, 60, tokens=(1, 2), sends_tokens=False)
    assert pairs(chat, text, sent("bare", 10, tokens=None), sent("whole", 11)) == [("bare", "text"), ("whole", "chat")]
    assert pairs(chat, sent("bare", 10, tokens=None)) == [("bare", "chat")], "call types may be unknown"


def test_a_name_without_a_provider_and_without_a_group_is_itself() -> None:
    assert names("gpt-4o", "") == {"gpt-4o"}


def most(rows: list[Row], events: list[Sent]) -> int:
    """How many can find each other at most: by trying ways to make room, one event after another."""
    taken: dict[int, int] = {}

    def place(event: int, tried: set[int]) -> bool:
        for number, one in enumerate(rows):
            if number not in tried and one.since <= events[event].moment <= one.until:
                tried.add(number)
                if number not in taken or place(taken[number], tried):
                    taken[number] = event
                    return True
        return False

    return sum(place(event, set()) for event in range(len(events)))


SPANS = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 12)), max_size=8)


@settings(max_examples=60, deadline=None)
@given(SPANS, st.lists(st.integers(0, 45), max_size=8))
def test_as_many_events_as_can_be_find_a_row_each(spans: list[tuple[int, int]], moments: list[int]) -> None:
    rows = [row(number, since, since + length) for number, (since, length) in enumerate(spans)]
    events = [sent(number, moment) for number, moment in enumerate(moments)]
    found = pairs(*rows, *events)
    assert len(found) == most(rows, events)
    assert len({event for event, _ in found}) == len({one for _, one in found}) == len(found)
    assert all(rows[one].since <= events[event].moment <= rows[one].until for event, one in found)


def test_rows_whose_time_is_over_are_forgotten() -> None:
    many = [row(number, number, number + 5) for number in range(4000)]
    assert pairs(*many, sent(moment=3999)) == [("event", 3994)]
