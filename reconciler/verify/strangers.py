"""Events in Lago that are not of this ledger: whose they are, and whether they bill what we bill, too."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from json import loads
from typing import Any

from reconciler.database.statements import statement
from reconciler.lago.readback import Readback
from reconciler.lago.shown import amount, is_of, key_of, name, timestamp_of
from reconciler.ledger.meters import Meter
from reconciler.ledger.store import Ledger
from reconciler.verify.findings import Difference, Kind, Leg
from reconciler.verify.producers import CURES, producer

DISCARDED = Kind("in Lago though discarded", drift=True, means="A person gave these events up, and Lago bills them.")
STANDS = Kind(
    "stands for ours", drift=False, means="In conflict with events of ours, which a person has discarded: as decided."
)

TAKEN_OVER = Kind(
    "taken over", drift=False, means="LiteLLM's callback has sent them, and a cut-over has counted them as billed."
)

TWICE = {
    who: Kind(
        f"billed twice, by {who}",
        drift=True,
        means=f"Events that are not ours count for the same subscriptions in the same windows: {cure}",
    )
    for who, cure in CURES.items()
}
"""Double billing, by who does it."""

APART = {
    who: Kind(
        f"not ours, by {who}", drift=False, means="They count where this meter bills nothing: listed, and not compared."
    )
    for who in CURES
}


class Strangers:
    """Takes note of one meter's strangers."""

    def __init__(self, meter: Meter, ledger: Ledger, leg: Leg, readback: Readback) -> None:
        """Note in `leg` what is taken; `readback` compares."""
        self._readback = readback
        self._meter = meter
        self._ledger = ledger
        self._leg = leg
        self._seen: set[datetime] = set()
        self._seeing: set[datetime] = set()

    def take(self, events: Sequence[dict[str, Any]]) -> None:
        """Take events of the meter's code that Lago holds, and that were not looked for. Our own are no strangers.

        Those of windows in spans that have ended were taken before.
        """
        placed = [(event, moment.astimezone(UTC)) for event in events if (moment := timestamp_of(event))]
        windows = [self._meter.timeline.floor(moment) for _, moment in placed]
        self._seeing.update(windows)
        places = [each for each, window in zip(placed, windows, strict=True) if window not in self._seen]
        if not places:
            return
        keys = [key_of(event) if is_of(event, self._meter.name) else None for event, _ in places]
        values = {
            "meter": self._meter.name,
            "windows": [self._meter.timeline.floor(moment) for _, moment in places],
            "subscriptions": [name(event.get("external_subscription_id")) for event, _ in places],
            "ids": [name(event.get("transaction_id")) or "" for event, _ in places],
            "key_starts": [key[0] if key else None for key in keys],
            "buckets": [key[1] if key else None for key in keys],
            "revisions": [key[2] if key else None for key in keys],
        }
        found = self._ledger.once("verify/strangers", values, known=statement("delivery/known"))
        shown = []
        computed = self._readback.computed(self._meter.timeline.latest.code)
        for (event, moment), (_, state, payload, is_billed, is_taken) in zip(places, found, strict=True):
            if state is not None and payload is None:
                continue
            who = producer(event, self._meter.name, computed)
            kind = TAKEN_OVER if is_taken else TWICE[who] if is_billed else APART[who]
            if payload is not None:
                kind = STANDS if self._readback.differ(loads(payload), event) else DISCARDED
            shown.append(_difference(kind, event, moment))
        for each in shown:
            self._leg.count(each.kind, each.number, each.amount)
        self._leg.show(shown)

    def end_of_span(self) -> None:
        """All was taken of the windows so far."""
        self._seen |= self._seeing
        self._seeing.clear()


def _difference(kind: Kind, event: Mapping[str, Any], moment: datetime) -> Difference:
    # More than is expected: so below nothing.
    cost = amount(event)
    customer = str(event.get("external_subscription_id"))[:200]
    return Difference(kind, moment.date(), customer, 1, Decimal() - cost, str(event.get("transaction_id"))[:100])
