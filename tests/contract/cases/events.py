"""`POST /events`."""

from collections.abc import Iterator
from gzip import compress
from random import Random
from string import ascii_letters, digits
from typing import Any

from tests.contract.case import RECENT, Ask, AtLeast, Case, PerStore
from tests.contract.cases.common import (
    MISSING,
    PROPERTIES,
    TAKEN,
    bad_request,
    created,
    event,
    invalid,
    post,
)

SERVICE = "api app/services/events/create_service.rb"
CONTROLLER = "api app/controllers/api/v1/events_controller.rb:172-183"


def create(**fields: Any) -> Ask:
    return post("events", {"event": event(**fields)})


def answer(**fields: Any) -> dict[str, Any]:
    return {"event": created(**fields)}


def timestamps() -> Iterator[Case]:
    """The grammar of Ruby's BigDecimal, in seconds; shown are milliseconds, cut off."""
    accepted: dict[Any, str] = {
        1710421740: "2024-03-14T13:09:00.000Z",
        "1e3": "1970-01-01T00:16:40.000Z",
        "1_000": "1970-01-01T00:16:40.000Z",
        " 123 ": "1970-01-01T00:02:03.000Z",
        ".5": "1970-01-01T00:00:00.500Z",
        "-5": "1969-12-31T23:59:55.000Z",
        "+5": "1970-01-01T00:00:05.000Z",
    }
    exact: dict[Any, str] = {  # before, they passed through a double: lago-api#5651 of June 2026
        1710421740.59: "2024-03-14T13:09:00.590Z",
        "1710421740.590": "2024-03-14T13:09:00.590Z",
        "1710421740.5909": "2024-03-14T13:09:00.590Z",
        "1780586634.1": "2026-06-04T15:23:54.100Z",
    }
    of_a_later_ruby = {"5.": "1970-01-01T00:00:05.000Z"}
    for version, timestamps in ((None, accepted), ("1.48", exact), ("1.51", of_a_later_ruby)):
        for given, shown in timestamps.items():
            name = f"the timestamp {given!r} is taken as {shown}"
            expected = answer(timestamp=shown)
            yield Case(name, create(timestamp=given), 200, expected, source=f"{SERVICE}:23", since=version)
    for given in ("", "12abc", "0x10", True, "2024-03-14T13:09:00Z"):
        details = {"timestamp": ["invalid_format"]}
        name = f"the timestamp {given!r} is refused"
        yield Case(name, create(timestamp=given), 422, invalid(details), source=f"{SERVICE}:41")
    for given in (..., None, False):
        name = f"without a timestamp ({'absent' if given is ... else given}) the time of receipt counts"
        yield Case(name, create(timestamp=given), 200, answer(timestamp=RECENT), source=f"{SERVICE}:23")


def cents() -> Iterator[Case]:
    told = {"123.45": "123.45", "70": "70.0", "asdfa": "0.0", 12: "12.0", f"0.{'12' * 9}": f"0.{'12' * 7}1"}
    for given, shown in told.items():
        name = f"precise_total_amount_cents {given!r} is shown as {shown!r}"
        fields = {"precise_total_amount_cents": given}
        source = "api spec/services/events/create_service_spec.rb:219-230"
        yield Case(name, create(**fields), 200, answer(precise_total_amount_cents=shown), source=source)


CASES = [
    Case(
        "an event is answered as stored", create(), 200, answer(), source="api app/serializers/v1/event_serializer.rb"
    ),
    Case(
        "other keys are dropped without a word",
        create(external_customer_id="acme", customer="acme"),
        200,
        answer(),
        source=CONTROLLER,
    ),
    Case(
        "an event without a subscription is taken",
        create(external_subscription_id=...),
        200,
        answer(external_subscription_id=None),
        source="api spec/scenarios/create_event_spec.rb:17-187",
    ),
    Case(
        "an id is taken once in its subscription, whatever else differs",
        create(code="$run-other", timestamp="1", properties={}),
        PerStore(422, 200),
        PerStore(invalid(TAKEN), AtLeast({})),
        before=[create()],
        source=f"{SERVICE}:39",
    ),
    Case(
        "the same id in another subscription is another event",
        create(external_subscription_id="$run-other"),
        200,
        answer(external_subscription_id="$run-other"),
        before=[create()],
        source="api db/structure.sql:11073",
    ),
    Case(
        "without a subscription no id is ever taken",
        create(external_subscription_id=...),
        200,
        answer(external_subscription_id=None),
        before=[create(external_subscription_id=...)],
        source="api db/structure.sql:11073",
    ),
    Case(
        "an id and a code are mandatory",
        create(transaction_id=..., code=...),
        PerStore(422, 200),
        PerStore(invalid(MISSING | {"code": ["value_is_mandatory"]}), AtLeast({})),
        source="api app/models/event.rb:14; ClickHouse skips save!, create_service.rb:29",
    ),
    Case(
        "an empty id is none",
        create(transaction_id=""),
        422,
        invalid(MISSING),
        source="api app/models/event.rb:14",
        only="postgres",
    ),
    Case(
        "an id that is an object is none",
        create(transaction_id={"a": 1}),
        422,
        invalid(MISSING),
        source=CONTROLLER,
        only="postgres",
    ),
    Case(
        "an id that is a number becomes text",
        create(transaction_id=17, external_subscription_id="$run"),
        200,
        answer(transaction_id="17"),
        source=CONTROLLER,
    ),
    Case("properties may be missing", create(properties=...), 200, answer(properties={}), source=CONTROLLER),
    Case(
        "properties that are null become empty", create(properties=None), 200, answer(properties={}), source=CONTROLLER
    ),
    Case(
        "properties that are text become empty", create(properties="x"), 200, answer(properties={}), source=CONTROLLER
    ),
    Case(
        "properties of any kind are taken, whatever a metric would make of them",
        create(properties=PROPERTIES | {"response_cost": "much", "nested": {"a": [1, True]}, "nothing": None}),
        200,
        answer(properties=PROPERTIES | {"response_cost": "much", "nested": {"a": [1, True]}, "nothing": None}),
        source="api app/services/events/create_service.rb",
    ),
    Case(
        "a null in an array of properties is dropped",
        create(properties={"a": [1, None, True]}),
        200,
        answer(properties={"a": [1, True]}),
        source="seen on lago-api v1.51",
    ),
    Case(
        "an id over the size of an index row that repeats itself is compressed",
        create(transaction_id="$run" + "0123456789" * 300),
        200,
        answer(transaction_id="$run" + "0123456789" * 300),
        source="seen on lago-api v1.51",
    ),
    Case(
        "a NUL character in the subscription is said to be a wrong timestamp",
        create(external_subscription_id="a\0b"),
        422,
        invalid({"timestamp": ["invalid_format"]}),
        source="seen on lago-api v1.51",
        only="postgres",
    ),
    Case(
        "an event without its key is a bad request",
        post("events", {}),
        400,
        bad_request("event"),
        source="api api_errors.rb:6",
    ),
    Case(
        "an empty event is a bad request",
        post("events", {"event": {}}),
        400,
        bad_request("event"),
        source="api spec/requests/api/base_controller_spec.rb:95",
    ),
    Case(
        "a body of another type has no parameters",
        Ask("POST", "events", content='{"event":{"transaction_id":"x"}}', headers={"Content-Type": "text/plain"}),
        400,
        bad_request("event"),
        source="seen on lago-api v1.51",
    ),
    Case(
        "a body that is no JSON is a bad request, in JSON to who accepts JSON",
        Ask("POST", "events", content='{"event":', headers={"Content-Type": "application/json"}),
        400,
        {"status": 400, "error": "Bad Request"},
        source="seen on lago-api v1.51",
    ),
    *(
        Case(
            f"{what} is no JSON either",
            Ask("POST", "events", content=content, headers={"Content-Type": "application/json"} | more),
            400,
            {"status": 400, "error": "Bad Request"},
            source="seen on lago-api v1.51",
        )
        for what, content, more in (
            ("text that is no UTF-8", b'{"event":{"transaction_id":"\xff"}}', {}),
            ("half of a character", b'{"event":{"transaction_id":"\\ud800"}}', {}),
            ("what is compressed", compress(b'{"event":{"transaction_id":"x"}}'), {"Content-Encoding": "gzip"}),
        )
    ),
    Case(
        "a body that is no JSON is a bad request without a body to others",
        Ask("POST", "events", content='{"event":', headers={"Content-Type": "application/json", "Accept": "*/*"}),
        400,
        "",
        source="seen on lago-api v1.51",
    ),
    Case(
        "a NUL character in a property fails in the database, and is told in JSON whatever is accepted",
        Ask("POST", "events", json={"event": event(properties={"model": "a\0b"})}, headers={"Accept": "*/*"}),
        500,
        {"status": 500, "error": "Internal Server Error"},
        source="seen on lago-api v1.51",
        only="postgres",
    ),
    Case(
        "an id over the size of an index row fails in the database",
        create(transaction_id="$run" + "".join(Random(1).choices(ascii_letters + digits, k=4000))),
        500,
        {"status": 500, "error": "Internal Server Error"},
        source="run on Postgres 15",
        only="postgres",
    ),
    Case(
        "microseconds instead of seconds fail in the database",
        create(timestamp=1710421740123456),
        500,
        {"status": 500, "error": "Internal Server Error"},
        source="run on Postgres 15",
        only="postgres",
    ),
    Case(
        "milliseconds instead of seconds are a year far away",
        create(timestamp=1710421740123),
        200,
        AtLeast({}),
        source="run on Postgres 15",
        only="postgres",
    ),
    *timestamps(),
    *cents(),
]
