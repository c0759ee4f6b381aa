"""The metadata of a plan: names and texts that Lago keeps for its client and never reads.

No metadata and empty metadata are two things: only of the second does the plan tell.

Facts: `getlago/lago-api`, `app/controllers/api/v1/plans/metadata_controller.rb`,
`app/services/metadata/update_item_service.rb`, `app/models/metadata/item_metadata.rb`.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from reconciler.sandbox.call import Call
from reconciler.sandbox.refusals import invalid, not_found
from reconciler.sandbox.resources.catalog import PLAN, find, is_blank, save
from reconciler.sandbox.resources.drafts import outdate_drafts
from reconciler.sandbox.stores.store import Thing

_METADATA = "metadata"
_MOST_KEYS = 50
_LONGEST_KEY = 100
_LONGEST_VALUE = 255

Metadata = dict[str, Any]


def replace_metadata(call: Call) -> dict[str, Any]:
    """POST /plans/:code/metadata: what is sent is all there is from now on."""
    plan = _plan(call)
    sent = sent_metadata(call.body)
    return _change(call, plan, plan.get(_METADATA) if sent is None else sent)


def merge_metadata(call: Call) -> dict[str, Any]:
    """PATCH or PUT /plans/:code/metadata: what is sent is added to what is there."""
    plan = _plan(call)
    known, sent = plan.get(_METADATA), sent_metadata(call.body)
    return _change(call, plan, (known or {}) | sent if sent else known)


def delete_metadata(call: Call) -> dict[str, Any]:
    """DELETE /plans/:code/metadata."""
    return _change(call, _plan(call), None)


def delete_metadata_key(call: Call) -> dict[str, Any]:
    """DELETE /plans/:code/metadata/:key: unlike any other change it leaves drafts as they are."""
    plan = _plan(call)
    if _METADATA not in plan:
        raise not_found(_METADATA)
    plan[_METADATA].pop(call.path["key"], None)
    return _answer(save(call, PLAN, plan["code"], plan))


def sent_metadata(params: Mapping[str, Any]) -> Metadata | None:
    """Return the metadata in a body; to Rails null, or whatever else is no object, was not sent."""
    sent = params.get(_METADATA)
    return sent if isinstance(sent, dict) else None


def set_metadata(plan: Thing, metadata: Metadata | None) -> None:
    """Give a plan this metadata, or none.

    Raises:
        RefusalError: 422, it is too long, or a value is no text.
    """
    if errors := list(_errors(metadata or {})):
        raise invalid({"value": errors})
    plan.pop(_METADATA, None)
    if metadata is not None:
        plan[_METADATA] = metadata


def _plan(call: Call) -> Thing:
    return find(call, PLAN, call.path["code"])


def _change(call: Call, plan: Thing, metadata: Metadata | None) -> dict[str, Any]:
    set_metadata(plan, metadata)
    outdate_drafts(call, [plan])
    return _answer(save(call, PLAN, plan["code"], plan))


def _answer(plan: Thing) -> dict[str, Any]:
    return {_METADATA: plan.get(_METADATA)}


def _errors(metadata: Metadata) -> Iterable[str]:
    if len(metadata) > _MOST_KEYS:
        yield f"cannot have more than {_MOST_KEYS} keys"
    for key, value in metadata.items():
        if len(key) > _LONGEST_KEY:
            yield f"key '{key}' must be a String up to {_LONGEST_KEY} characters"
        if not is_blank(value) and not (isinstance(value, str) and len(value) <= _LONGEST_VALUE):
            yield f"value for key '{key}' must be empty or a String up to {_LONGEST_VALUE} characters"
