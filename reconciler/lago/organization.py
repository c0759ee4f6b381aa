"""What Lago says of the organization behind an API key. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from reconciler.lago.stores import Store


@dataclass(frozen=True)
class Organization:
    """What Lago says of the organization behind the API key.

    Attributes:
        id: Lago's own, which no other organization has.
        store: its event store; None if this Lago doesn't say (before v1.47).
        timezone: in which its customers' days begin, unless they have their own; None if Lago doesn't say.
    """

    id: str
    store: Store | None
    timezone: str | None = field(default=None, compare=False)

    @classmethod
    def read(cls, told: Mapping[str, Any]) -> Self | None:
        """The organization that an answer shows; None if it has no id."""
        id_, store, zone = told.get("lago_id"), told.get("events_store"), told.get("timezone")
        if not (isinstance(id_, str) and id_):
            return None
        known: Store | None = store if store in {"postgres", "clickhouse"} else None
        return cls(id_, known, zone if isinstance(zone, str) else None)
