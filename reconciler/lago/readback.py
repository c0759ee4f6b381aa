"""What Lago holds of events that we planned: found by their place, compared value by value.

Asked for where an answer leaves a question: a duplicate (does Lago hold this event, or another under its id?), and an
attempt whose end nobody knows, on a store that would count a repetition twice.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation, localcontext
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from reconciler.lago.client import Lago
from reconciler.lago.questions import Thing
from reconciler.lago.sentences import NotPermittedError
from reconciler.lago.shown import computed_by, timestamp_of

Payload = Mapping[str, Any]
"""An event as it was planned, read from its JSON."""

Kind = Literal["equal", "conflict", "missing"]

_ASKED_ONE_BY_ONE = 3
"""Subscriptions; where events of one moment have more of them, all of that moment is read."""

_LONGEST_NAME = 500
"""Characters; a subscription with a longer name is not asked for by name."""

_MILLISECOND = timedelta(milliseconds=1)


class Verdict(NamedTuple):
    """Whether Lago holds an event, another in its stead (`event`), or none."""

    kind: Kind
    event: Mapping[str, Any] = MappingProxyType({})

    @property
    def held(self) -> str:
        """The other one, for people."""
        return str(self.event)[:2000] if self.event else ""


class Readback:
    """Asks one Lago about events. Its questions raise what `Lago`'s do."""

    def __init__(self, lago: Lago) -> None:
        """Ask nothing yet."""
        self._lago = lago
        self._computed: dict[str, str | None] = {}

    def verdicts(self, payloads: Sequence[Payload], *, duplicates: bool = False) -> list[Verdict]:
        """Say of each event, in order, whether Lago holds it, holds another in its stead, or holds none.

        Args:
            payloads: the events.
            duplicates: whether Lago said that it has their ids. Then one that is not in its place is looked for by its
                id. Lago may show another subscription's event, and can't say whether ours was deleted: a conflict.
        """
        held = self.held(payloads)
        verdicts = []
        for ours in payloads:
            id_, subscription = ours["transaction_id"], ours.get("external_subscription_id")
            copies = [event for event in held[id_] if event.get("external_subscription_id") == subscription]
            if duplicates and not copies:
                copies = [shown] if (shown := self._lago.event(id_)) else []
            # ClickHouse may have several copies, and each may count.
            others = [event for event in copies if self.differ(ours, event)]
            kind: Kind = "conflict" if others else "equal" if copies else "missing"
            verdicts.append(Verdict(kind, *others[:1]))
        return verdicts

    def held(self, payloads: Sequence[Payload]) -> dict[str, list[Thing]]:
        """All that Lago holds under the events' ids, read by code and moment: `GET /events` has no filter for ids."""
        ids = {event["transaction_id"] for event in payloads}
        found: dict[str, list[Thing]] = defaultdict(list)
        for code, moment, subscription in _places(payloads):
            since, until = moment - _MILLISECOND, moment + _MILLISECOND
            for page in self._lago.events(code, since, until, subscription):
                for event in page.things:
                    id_ = event.get("transaction_id")
                    if isinstance(id_, str) and id_ in ids:
                        found[id_].append(event)
        return found

    def differ(self, ours: Payload, theirs: Mapping[str, Any]) -> bool:
        """Whether Lago holds another event than we planned: the property that it computes itself does not count."""
        differing = differences(ours, theirs)
        if len(differing) == 1 and differing[0].startswith("properties."):
            return differing != [f"properties.{self.computed(ours['code'])}"]
        return bool(differing)

    def computed(self, code: str) -> str | None:
        """The property that Lago computes by the metric's expression and overwrites, if it has one. Asked for once."""
        if code not in self._computed:
            try:
                metric = self._lago.metric(code)
            except NotPermittedError:
                metric = None  # then a difference is a difference
            self._computed[code] = computed_by(metric)
        return self._computed[code]


def differences(ours: Payload, theirs: Mapping[str, Any]) -> list[str]:
    """In what the event that Lago holds differs from the one we planned: numbers compared as decimals.

    Numbers may come back as text, as ClickHouse shows all properties. What Lago adds by itself (ids, the time of
    creation, further properties) does not count.
    """
    properties, held = ours["properties"], theirs.get("properties")
    held = held if isinstance(held, dict) else {}
    cents, shown = _stored_cents(ours.get("precise_total_amount_cents")), theirs.get("precise_total_amount_cents")
    same = {name: ours.get(name) == theirs.get(name) for name in ("external_subscription_id", "code")}
    same["timestamp"] = _moment(ours["timestamp"]) == timestamp_of(theirs)
    same["precise_total_amount_cents"] = _equal(cents, shown or 0)
    same |= {f"properties.{name}": name in held and _equal(value, held[name]) for name, value in properties.items()}
    return [name for name, equal in same.items() if not equal]


def _places(payloads: Iterable[Payload]) -> Iterator[tuple[str, datetime, str | None]]:
    """Where to look: code, moment and subscription, the last None for all subscriptions of the moment."""
    subscriptions: dict[tuple[str, str], set[str | None]] = defaultdict(set)
    for event in payloads:
        subscriptions[event["code"], event["timestamp"]].add(event.get("external_subscription_id"))
    for (code, stamp), names in subscriptions.items():
        few = len(names) <= _ASKED_ONE_BY_ONE and all(name and len(name) <= _LONGEST_NAME for name in names)
        for name in names if few else [None]:
            yield code, _moment(stamp), name


def _moment(seconds: str) -> datetime:
    """The moment of a payload's timestamp, which has three decimals."""
    return datetime.fromtimestamp(0, UTC) + int(Decimal(seconds) * 1000) * _MILLISECOND


def _stored_cents(cents: str | None) -> Decimal:
    """What Lago's column `numeric(40,15)` keeps of an amount (facts: lago section 1.1)."""
    with localcontext(prec=80):
        return Decimal(cents or 0).quantize(Decimal("1e-15"), ROUND_HALF_UP)


def _equal(ours: object, theirs: object) -> bool:
    if ours == theirs:
        return True
    if isinstance(ours, bool) or isinstance(theirs, bool):
        return False
    try:
        return Decimal(str(ours)) == Decimal(str(theirs))
    except (InvalidOperation, RecursionError):
        return False
