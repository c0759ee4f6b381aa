"""`POST /events/batch`."""

from dataclasses import replace

from tests.contract.case import AtLeast, Case, PerStore
from tests.contract.cases.common import MISSING, TAKEN, created, event, get, invalid, post, send

SERVICE = "api app/services/events/create_batch_service.rb"
SPEC = "api spec/services/events/create_batch_service_spec.rb"
FORMAT = {"timestamp": ["invalid_format"]}
THREE = [event(f"$run-{i}") for i in range(3)]


def refused(details: object) -> PerStore:
    """ClickHouse takes what Postgres has already."""
    return PerStore(invalid(details), AtLeast({}))


CASES = [
    Case(
        "a batch is answered in its order",
        send(event("$run-b"), event("$run-a"), event("$run-c")),
        200,
        {"events": [created("$run-b"), created("$run-a"), created("$run-c")]},
        source=SERVICE,
    ),
    Case(
        "a batch without its key has no events",
        post("events/batch", {}),
        422,
        invalid({"events": ["no_events"]}),
        source=SERVICE,
    ),
    Case("a batch of none has no events", send(), 422, invalid({"events": ["no_events"]}), source=SERVICE),
    Case(
        "a hundred events are a batch",
        send(*(event(f"$run-{i}") for i in range(100))),
        200,
        {"events": [created(f"$run-{i}") for i in range(100)]},
        source=f"{SPEC}:100-117",
    ),
    Case(
        "a hundred and one are too many",
        send(*(event(f"$run-{i}") for i in range(101))),
        422,
        invalid({"events": ["too_many_events"]}),
        source=f"{SPEC}:100-117, unless LAGO_EVENTS_BATCH_MAX_LENGTH says otherwise",
    ),
    Case(
        "each invalid event is named by its index",
        send(THREE[0], event("$run-1", timestamp="x"), THREE[2], event("$run-3", code=...)),
        422,
        invalid({"1": FORMAT, "3": {"code": ["value_is_mandatory"]}}),
        source=f"{SERVICE}:56-59",
    ),
    Case(
        "of a batch with an invalid event nothing is stored",
        get("events/$run-0"),
        404,
        AtLeast({"code": "event_not_found"}),
        before=[replace(send(THREE[0], event("$run-1", timestamp="x")), status=422)],
        source=f"{SERVICE}:27-31",
    ),
    Case(
        "duplicates are not looked for while an event is invalid",
        send(THREE[0], event(...)),
        422,
        invalid({"1": MISSING}),
        before=[send(THREE[0])],
        source=f"{SERVICE}:27-31; Lago v1.28 names both",
        since="1.32",
    ),
    *(
        Case(
            f"events that are known are named by their index: {', '.join(map(str, known))}",
            send(*THREE),
            PerStore(422, 200),
            refused({str(i): TAKEN for i in known}),
            before=[send(*(THREE[i] for i in known))],
            source=f"{SPEC}:120-195",
        )
        for known in ([0], [1], [2], [0, 2], [0, 1, 2])
    ),
    *(
        Case(
            f"of one id twice in a batch the later are refused: {ids}",
            send(*(event(f"$run-{id_}") for id_ in ids)),
            PerStore(422, 200),
            refused({str(i): TAKEN for i in later}),
            source=f"{SPEC}:120-195; Lago v1.28 names none",
            since="1.32",
        )
        for ids, later in {"aab": [1], "aba": [2], "aabb": [1, 3], "aaa": [1, 2]}.items()
    ),
    Case(
        "of one id in two subscriptions of a batch the later is refused",
        send(event(), event(external_subscription_id="$run-other")),
        PerStore(422, 200),
        refused({"1": TAKEN}),
        source=f"{SERVICE}:79-84; Lago v1.28 takes it",
        since="1.32",
    ),
    Case(
        "if the earlier of them is known and the later is new, still the later is named",
        send(event(), event(external_subscription_id="$run-other")),
        PerStore(422, 200),
        refused({"1": TAKEN}),
        before=[send(event())],
        source=f"{SERVICE}:79-84; Lago v1.28 takes it",
        since="1.32",
    ),
    Case(
        "of a batch with a known event nothing is stored",
        get("events/$run-1"),
        404,
        AtLeast({"code": "event_not_found"}),
        before=[send(THREE[0]), replace(send(*THREE), status=422)],
        source="lago-api#4772 of December 2025: from 1.32 on the others were stored",
        only="postgres",
        since="1.39",
    ),
    Case(
        "an unknown subscription and an unknown metric are taken in a batch, too",
        send(event(external_subscription_id="$run-unknown", code="$run-unknown")),
        200,
        {"events": [created(external_subscription_id="$run-unknown", code="$run-unknown")]},
        source=SERVICE,
    ),
    Case(
        "one event that fails in the database fails its batch",
        send(THREE[0], event("$run-1", properties={"model": "a\0b"})),
        500,
        AtLeast({"status": 500}),
        source="run on Postgres 15",
        only="postgres",
    ),
    Case(
        "of a batch with an event that fails in the database nothing is stored",
        get("events/$run-0"),
        404,
        AtLeast({"code": "event_not_found"}),
        before=[replace(send(THREE[0], event("$run-1", properties={"model": "a\0b"})), status=500)],
        source="seen on lago-api v1.51",
        only="postgres",
    ),
]
