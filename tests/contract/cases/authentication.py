"""Who may ask, and for what."""

from tests.contract.case import Ask, AtLeast, Case
from tests.contract.cases.common import UNAUTHORIZED, error, event, get, post

NO_ROUTE = error(404, "Not Found", "resource_not_found")

CASES = [
    Case(
        "an unknown key is refused",
        Ask("GET", "events", headers={"Authorization": "Bearer 00000000-0000-0000-0000-000000000000"}),
        401,
        UNAUTHORIZED,
        source="api app/controllers/api/base_controller.rb:26-38",
    ),
    Case(
        "a header without a key is refused",
        Ask("GET", "events", headers={"Authorization": "Bearer"}),
        401,
        UNAUTHORIZED,
        source="api app/controllers/api/base_controller.rb:26-38",
    ),
    Case(
        "an event with an unknown key is refused",
        post("events", {"event": event()}, Authorization="Bearer 00000000-0000-0000-0000-000000000000"),
        401,
        UNAUTHORIZED,
        source="api app/controllers/api/base_controller.rb:26-38",
    ),
    Case("an unknown route is not found", get("no_such_route"), 404, NO_ROUTE, source="api api_errors.rb"),
    Case(
        "an event can't be changed",
        Ask("PUT", "events/$run-1", json={"event": event()}),
        404,
        AtLeast({"status": 404}),
        before=[post("events", {"event": event()})],
        source="api config/routes.rb:125",
    ),
    Case(
        "an event can't be deleted",
        Ask("DELETE", "events/$run-1"),
        404,
        AtLeast({"status": 404}),
        before=[post("events", {"event": event()})],
        source="api config/routes.rb:125",
    ),
]
