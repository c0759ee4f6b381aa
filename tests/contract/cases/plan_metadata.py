"""The metadata of plans."""

from typing import Any

from tests.contract.case import Ask, AtLeast, Case
from tests.contract.cases.common import error, get, invalid, post
from tests.contract.cases.provisioning import plan

_CONTROLLER = "api app/controllers/api/v1/plans/metadata_controller.rb"
_UPDATE = "api app/services/metadata/update_item_service.rb"
_PATH = "plans/$run/metadata"


def _metadata(method: str, **metadata: Any) -> Ask:
    return Ask(method, _PATH, json={"metadata": metadata})


CASES = [
    Case(
        "a plan is made with its metadata",
        plan(metadata={"team": "a", "tier": None}),
        200,
        {"plan": AtLeast({"metadata": {"team": "a", "tier": None}})},
        source="api app/services/plans/create_service.rb, app/serializers/v1/plan_serializer.rb",
    ),
    Case(
        "metadata is replaced",
        _metadata("POST", owner="b"),
        200,
        {"metadata": {"owner": "b"}},
        before=[plan(metadata={"team": "a"})],
        source=_UPDATE,
    ),
    Case(
        "metadata is merged",
        _metadata("PATCH", tier="2"),
        200,
        {"metadata": {"team": "a", "tier": "2"}},
        before=[plan(metadata={"team": "a", "tier": "1"})],
        source=_UPDATE,
    ),
    Case(
        "nothing merged into no metadata is none",
        _metadata("PATCH"),
        200,
        {"metadata": None},
        before=[plan()],
        source=_UPDATE,
    ),
    Case(
        "deleted metadata is none",
        Ask("DELETE", _PATH),
        200,
        {"metadata": None},
        before=[plan(metadata={"team": "a"})],
        source=_CONTROLLER,
    ),
    Case(
        "a key of metadata is deleted",
        Ask("DELETE", f"{_PATH}/team"),
        200,
        {"metadata": {"tier": "1"}},
        before=[plan(metadata={"team": "a", "tier": "1"})],
        source="api app/services/metadata/delete_item_key_service.rb",
    ),
    Case(
        "a key of no metadata is not found",
        Ask("DELETE", f"{_PATH}/team"),
        404,
        error(404, "Not Found", "metadata_not_found"),
        before=[plan()],
        source=_CONTROLLER,
    ),
    Case(
        "metadata of an unknown plan is not found",
        _metadata("POST", team="a"),
        404,
        error(404, "Not Found", "plan_not_found"),
        source="api app/controllers/api/v1/plans/base_controller.rb",
    ),
    Case(
        "metadata has fifty keys at most",
        post(_PATH, {"metadata": {str(number): "a" for number in range(51)}}),
        422,
        invalid({"value": ["cannot have more than 50 keys"]}),
        before=[plan()],
        source="api app/models/metadata/item_metadata.rb",
    ),
    Case(
        "refused metadata changes nothing",
        get("plans/$run"),
        200,
        {"plan": AtLeast({"metadata": {"team": "a"}})},
        before=[
            plan(metadata={"team": "a"}),
            Ask("POST", _PATH, json={"metadata": {"team": "x" * 256}}, status=422),
        ],
        source="api app/models/metadata/item_metadata.rb",
    ),
]
