"""Foreign events: those that Lago holds under a meter's name and that are not from its ledger."""

from collections.abc import Sequence
from datetime import datetime
from json import loads
from typing import Any

from reconciler.database.postgres import cursor
from reconciler.database.statements import statement
from reconciler.lago.client import Lago
from reconciler.lago.readback import Readback
from reconciler.ledger.store import Ledger
from reconciler.model.identity import PREFIX, bucket_hash

Key = tuple[datetime, bytes, int]
"""Window, bucket and revision."""


class Foreign:
    """Tells one meter's foreign events."""

    def __init__(self, meter: str, ledger: Ledger, lago: Lago) -> None:
        """Ask nothing yet."""
        self._meter = meter
        self._ledger = ledger
        self._readback = Readback(lago)

    def among(self, page: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Those events of a page that the ledger does not know.

        If it knows all: those that say something else than it plans, in windows that it never sent for.

        Raises:
            LagoError: no answer that is Lago's.
        """
        named = [
            event
            for event in page
            if str(event.get("transaction_id", "")).startswith(PREFIX)
            and isinstance(event.get("properties"), dict)
            and event["properties"].get("meter") == self._meter
        ]
        keys = [(event, _key(event)) for event in named]
        readable = [(event, key) for event, key in keys if key is not None]
        unsent = self._unsent(readable)
        unknown = [event for event, key in keys if key is None]
        unknown += [event for event, payload in unsent if payload is None]
        return unknown or [event for event, payload in unsent if self._readback.differ(loads(str(payload)), event)]

    def _unsent(self, held: Sequence[tuple[dict[str, Any], Key]]) -> list[tuple[dict[str, Any], object]]:
        """Those that this ledger has not sent, each with the payload that it plans, None if it plans none."""
        values = {
            "meter": self._meter,
            "window_starts": [start for _, (start, _, _) in held],
            "buckets": [bucket for _, (_, bucket, _) in held],
            "revisions": [revision for _, (_, _, revision) in held],
            "ids": [event["transaction_id"] for event, _ in held],
            "subscriptions": [event.get("external_subscription_id") for event, _ in held],
        }
        with self._ledger.transaction() as connection:
            rows = cursor(connection).execute(statement("delivery/unsent_events"), values).fetchall()
        payloads = {row[0]: row[1] for row in rows}
        return [(event, payloads[number]) for number, (event, _) in enumerate(held, 1) if number in payloads]


def _key(event: dict[str, Any]) -> Key | None:
    """The ledger's key of an event as its properties say it; None if they don't say it."""
    properties = event["properties"]
    try:
        start = datetime.fromisoformat(str(properties["window"]).partition("/")[0])
        bucket = bucket_hash(properties["customer"], properties["model"])
        return start, bucket, int(properties["revision"])
    except (KeyError, ValueError, AttributeError, TypeError):
        return None
