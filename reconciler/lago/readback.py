"""What Lago holds of events that we know: found by their place, compared value by value.

Asked for where an answer leaves a question: a duplicate (does Lago hold this event, or another under its id?), and an
attempt whose end nobody knows, on a store that would count a repetition twice.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation, localcontext
from json import loads
from typing import Any, Literal

from reconciler.lago.client import Lago
from reconciler.ledger.outbox import Event

Verdict = Literal["equal", "conflict", "missing"]

_ASKED_ONE_BY_ONE = 3
"""Subscriptions; where events of one moment have more of them, all of that moment is read."""

_MILLISECOND = timedelta(milliseconds=1)


class Readback:
    """Asks one Lago about events."""

    def __init__(self, lago: Lago) -> None:
        """Ask nothing yet."""
        self._lago = lago
        self._expressions: dict[str, str | None] = {}

    def verdicts(
        self, events: Sequence[Event], keep: Callable[[], None], *, duplicates: bool = False
    ) -> list[tuple[Verdict, str]]:
        """Say of each event whether Lago holds it, holds another in its stead, or holds none.

        Args:
            events: which.
            keep: called before each question; keeps the claim of the events.
            duplicates: whether Lago says that it has their ids: then what is not in its place is looked for by its id.
                If that shows another subscription's, ours is elsewhere or was deleted, which no question tells: a
                conflict, too.

        Returns:
            A verdict for each, in order; of a conflict with what Lago holds, else with an empty text.

        Raises:
            LagoError: no answer that is Lago's.
        """
        ours = [loads(event.payload) for event in events]
        held = self._held(ours, keep)
        verdicts = []
        for each in ours:
            id_, subscription = each["transaction_id"], each.get("external_subscription_id")
            copies = [event for event in held[id_] if event.get("external_subscription_id") == subscription]
            if duplicates and not copies:
                keep()
                # Lago shows one event of an id, be it another subscription's: ours is not where it should be.
                copies = [stray] if (stray := self._lago.event(id_)) else []
            verdicts.append(self._verdict(each, copies))
        return verdicts

    def _held(self, ours: Sequence[Mapping[str, Any]], keep: Callable[[], None]) -> dict[str, list[dict[str, Any]]]:
        """All that Lago holds under the events' ids, read by code and moment: `GET /events` has no filter for ids."""
        ids = {event["transaction_id"] for event in ours}
        found: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for code, moment, subscription in _places(ours):
            keep()
            for page in self._lago.events(
                code, moment - _MILLISECOND, moment + _MILLISECOND, subscription=subscription
            ):
                for event in page:
                    if event.get("transaction_id") in ids:
                        found[event["transaction_id"]].append(event)
        return found

    def _verdict(self, ours: Mapping[str, Any], copies: Sequence[Mapping[str, Any]]) -> tuple[Verdict, str]:
        for event in copies:  # ClickHouse may have several, and each may count
            if self.differ(ours, event):
                return "conflict", str(event)
        return ("equal", "") if copies else ("missing", "")

    def differ(self, ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> bool:
        """Whether Lago holds another event than we planned: the property that it computes itself does not count.

        Raises:
            LagoError: no answer that is Lago's.
        """
        differing = differences(ours, theirs)
        return bool(differing) and differing != [f"properties.{self._expression_field(ours['code'])}"]

    def _expression_field(self, code: str) -> str | None:
        """The property that Lago computes by the metric's expression and overwrites, if it has one."""
        if code not in self._expressions:
            metric = self._lago.metric(code) or {}
            self._expressions[code] = metric.get("field_name") if metric.get("expression") else None
        return self._expressions[code]


def differences(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
    """In what the event that Lago holds differs from the one we planned: numbers compared as decimals.

    What Lago adds by itself (ids, the time of creation, further properties) does not count.
    """
    properties, held = ours["properties"], theirs.get("properties")
    held = held if isinstance(held, dict) else {}
    same = {
        "external_subscription_id": ours.get("external_subscription_id") == theirs.get("external_subscription_id"),
        "code": ours["code"] == theirs.get("code"),
        "timestamp": int(Decimal(ours["timestamp"]) * 1000) == _milliseconds(timestamp_of(theirs)),
        "precise_total_amount_cents": _equal(
            _stored_cents(ours.get("precise_total_amount_cents")), theirs.get("precise_total_amount_cents") or 0
        ),
    } | {
        f"properties.{name}": name in held and _equal(value, held[name]) for name, value in properties.items()
    }  # fmt: skip
    return [name for name, equal in same.items() if not equal]


def _places(ours: Iterable[Mapping[str, Any]]) -> Iterable[tuple[str, datetime, str | None]]:
    """Where to look: code, moment and subscription, the last None for all subscriptions of the moment."""
    subscriptions: dict[tuple[str, str], set[str | None]] = defaultdict(set)
    for event in ours:
        subscriptions[event["code"], event["timestamp"]].add(event.get("external_subscription_id"))
    for (code, stamp), names in subscriptions.items():
        moment = datetime.fromtimestamp(int(Decimal(stamp) * 1000) // 1000, UTC)
        moment += int(Decimal(stamp) * 1000) % 1000 * _MILLISECOND
        few = len(names) <= _ASKED_ONE_BY_ONE and None not in names
        for name in names if few else [None]:
            yield code, moment, name


def _stored_cents(cents: str | None) -> Decimal:
    """What Lago's column `numeric(40,15)` keeps of an amount (facts: lago section 1.1)."""
    with localcontext(prec=80):
        return Decimal(cents or 0).quantize(Decimal("1e-15"), ROUND_HALF_UP)


def timestamp_of(event: Mapping[str, Any]) -> datetime | None:
    """The aware time by which an event that Lago holds counts; None if it says none."""
    try:
        said = datetime.fromisoformat(str(event.get("timestamp")))
    except ValueError:
        return None
    return said if said.tzinfo else None


def _milliseconds(moment: datetime | None) -> int | None:
    return None if moment is None else round(moment.timestamp() * 1000)


def _equal(ours: object, theirs: object) -> bool:
    if ours == theirs:
        return True
    if isinstance(ours, bool) or isinstance(theirs, bool):
        return False
    try:
        return Decimal(str(ours)) == Decimal(str(theirs))
    except InvalidOperation:
        return False
