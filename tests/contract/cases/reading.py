"""`GET /events`, `GET /events/:transaction_id` and `GET /events_enriched`."""

from tests.contract.case import INSTANT, AtLeast, Case, PerStore
from tests.contract.cases.common import NOTHING, error, event, get, invalid, post, read, send
from tests.contract.cases.metrics import metric

QUERY = "api app/queries/events_query.rb"
MINE = {"external_subscription_id": "$run"}
NOT_FOUND = error(404, "Not Found", "event_not_found")


def page(current: int, pages: int, total: int) -> dict[str, int | None]:
    return {
        "current_page": current,
        "next_page": current + 1 if current < pages else None,
        "prev_page": current - 1 if current > 1 else None,
        "total_pages": pages,
        "total_count": total,
    }


def first_and_second(meta: dict[str, int | None]) -> dict[str, object]:
    return {
        "events": [
            read("$run-1", timestamp="2024-03-14T13:09:02.000Z"),
            read("$run-2", timestamp="2024-03-14T13:09:01.000Z"),
        ],
        "meta": meta,
    }


# One after the other, for ClickHouse lists by the time of receipt, and within one millisecond by the id.
TWO = [
    post("events", {"event": event("$run-2", timestamp=1710421741)}),
    post("events", {"event": event("$run-1", timestamp=1710421742)}),
]

CASES = [
    Case(
        "an event is found by its id",
        get("events/$run-1"),
        200,
        {"event": read()},
        before=[send(event())],
        source="api app/controllers/api/v1/events_controller.rb:53-58",
    ),
    Case(
        "an id of special characters is found percent-encoded",
        get("events/${run}1Az%28%29%5B%5D%3F%23._%2F%7C-%2F..%2F"),
        200,
        {"event": read("${run}1Az()[]?#._/|-/../")},
        before=[send(event("${run}1Az()[]?#._/|-/../"))],
        source="api spec/requests/api/v1/events_controller_spec.rb:510-519; not of Lago v1.28",
        since="1.51",
    ),
    Case("an unknown id is not found", get("events/$run-none"), 404, NOT_FOUND, source="api events_controller.rb"),
    Case(
        "the page of an empty list is 0",
        get("events", MINE),
        200,
        {"events": [], "meta": NOTHING},
        source="api app/controllers/concerns/pagination.rb:11-36",
    ),
    Case(
        "events are listed, the latest first",
        get("events", MINE),
        200,
        first_and_second(page(1, 1, 2)),
        before=TWO,
        source=QUERY,
    ),
    Case(
        "each copy that ClickHouse was sent is listed",
        get("events", MINE),
        200,
        {"events": [read(), read()], "meta": page(1, 1, 2)},
        before=[send(event()), send(event())],
        source="lago docs guide/events/ingesting-usage.mdx:619-623; GET /events reads events_raw",
        only="clickhouse",
    ),
    Case(
        "enriched events are listed without ids of Lago's",
        get("events_enriched", MINE),
        200,
        AtLeast(
            {
                "events": [
                    AtLeast({"transaction_id": "$run-1", "external_subscription_id": "$run", "enriched_at": INSTANT})
                ]
            }
        ),
        before=[metric(), send(event())],
        source="api app/serializers/v1/event_enriched_serializer.rb",
        only="clickhouse",
        since="1.36",
    ),
    Case(
        "the first of two pages knows the next",
        get("events", MINE | {"page": "1", "per_page": "1"}),
        200,
        AtLeast({"meta": page(1, 2, 2)}),
        before=TWO,
        source="api app/controllers/concerns/pagination.rb:11-36",
    ),
    Case(
        "the second of two pages knows the previous",
        get("events", MINE | {"page": "2", "per_page": "1"}),
        200,
        {"events": [read("$run-2", timestamp="2024-03-14T13:09:01.000Z")], "meta": page(2, 2, 2)},
        before=TWO,
        source="api app/controllers/concerns/pagination.rb:11-36",
    ),
    Case(
        "a page may be of any length",
        get("events", MINE | {"per_page": "100000"}),
        200,
        first_and_second(page(1, 1, 2)),
        before=TWO,
        source="seen on lago-api v1.51",
    ),
    Case(
        "events are found by code",
        get("events", {"code": "$run-code"}),
        200,
        {"events": [read(code="$run-code")], "meta": page(1, 1, 1)},
        before=[send(event(code="$run-code"), event("$run-2", code="$run-other"))],
        source=QUERY,
    ),
    Case(
        "events are found by subscription",
        get("events", {"external_subscription_id": "$run-a"}),
        200,
        {"events": [read(external_subscription_id="$run-a")], "meta": page(1, 1, 1)},
        before=[send(event(external_subscription_id="$run-a"), event("$run-2", external_subscription_id="$run-b"))],
        source=QUERY,
    ),
    Case(
        "events are found by time, both ends included",
        get("events", MINE | {"timestamp_from": "2024-03-14T13:09:01Z", "timestamp_to": "2024-03-14T13:09:02Z"}),
        200,
        first_and_second(page(1, 1, 2)),
        before=[send(event("$run-0", timestamp=1710421740), event("$run-3", timestamp=1710421743)), *TWO],
        source=QUERY,
    ),
    Case(
        "a date is its midnight",
        get("events", MINE | {"timestamp_from": "2024-03-14", "timestamp_to": "2024-03-15"}),
        200,
        AtLeast({"meta": page(1, 1, 1)}),
        before=[send(event(), event("$run-2", timestamp=1710288000))],
        source=QUERY,
    ),
    *(
        Case(
            f"a {name} that is no date is refused",
            get("events", {name: "soon"}),
            422,
            invalid({name: ["invalid_date"]}),
            source=QUERY,
        )
        for name in ("timestamp_from", "timestamp_to")
    ),
    Case(
        "a timestamp_from_started_at of false is as if it were absent",
        get("events", MINE | {"timestamp_from_started_at": "false"}),
        200,
        first_and_second(page(1, 1, 2)),
        before=TWO,
        source="api spec/requests/api/v1/events_controller_spec.rb",
    ),
    Case(
        "timestamp_from_started_at excludes timestamp_from and needs a subscription",
        get("events", {"timestamp_from": "2024-03-14", "timestamp_from_started_at": "true"}),
        422,
        invalid(
            {
                "timestamp_from": ["cannot be used with timestamp_from_started_at"],
                "external_subscription_id": ["required with timestamp_from_started_at"],
            }
        ),
        source="api spec/queries/events_query_spec.rb",
    ),
    Case(
        "enriched events are of the ClickHouse store only",
        get("events_enriched", {"external_subscription_id": "$run"}),
        PerStore(403, 200),
        PerStore(error(403, "Forbidden", "endpoint_not_available"), AtLeast({"meta": NOTHING})),
        source="api app/controllers/api/base_controller.rb:22-24",
        since="1.36",
    ),
]
