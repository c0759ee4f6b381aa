"""What an API key may do, for organizations with Lago's `api_permissions`: read and write, by resource."""

from typing import Literal

from reconciler.sandbox.refusals import forbidden
from reconciler.sandbox.trouble.requests import Asked

Action = Literal["read", "write"]

_IRREGULAR = {"billing_entities": "billing_entity", "events_enriched": "event"}
_USAGE = {"current_usage", "past_usage", "projected_usage"}


class Permissions:
    """The permissions of each organization's key; what nobody told is allowed."""

    def __init__(self) -> None:
        self._allowed: dict[str, dict[str, list[Action]]] = {}

    def set(self, organization: str, allowed: dict[str, list[Action]]) -> None:
        """Replace what a key may do: a resource such as `event` or `customer_usage` to actions."""
        self._allowed[organization] = allowed

    def clear(self) -> None:
        """Allow everything."""
        self._allowed = {}

    def check(self, organization: str, asked: Asked) -> None:
        """Let a request through.

        Raises:
            RefusalError: 403, the key may not do that.
        """
        allowed = self._allowed.get(organization)
        if not allowed:
            return
        action: Action = "read" if asked.method == "GET" else "write"
        resource = _resource(asked.path)
        if action not in allowed.get(resource, [action]):
            raise forbidden(f"{action}_action_not_allowed_for_{resource}")


def _resource(path: str) -> str:
    """Return the resource of a path such as `/api/v1/events/batch`."""
    match path.split("/")[3:]:
        case [*_, last] if last in _USAGE:
            return "customer_usage"
        case ["subscriptions", _, ("alerts" | "lifetime_usage") as first, *_] | [first, *_]:
            return _IRREGULAR.get(first, first.removesuffix("s"))
        case _:
            return ""
