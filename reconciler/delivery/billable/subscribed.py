"""Whose usage no subscription bills: asks Lago for the subscriptions of all names, and for more only in doubt."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from reconciler.delivery.billable import lives
from reconciler.delivery.invoices import Invoices
from reconciler.delivery.spans import Billed, Subscription
from reconciler.delivery.telling import Telling, Told
from reconciler.lago.client import Lago
from reconciler.lago.questions import Thing
from reconciler.lago.sentences import CantBeAskedError, NotPermittedError
from reconciler.model.visible import brief
from reconciler.model.words import count, minute
from reconciler.report.unbillable import Outlook, Unbillable, Unknown
from reconciler.report.usage import Reader, Slice, Usage, together
from reconciler.settings.meter import MeterSettings

ASKED_ABOUT = 20
"""Of so many names, those with the most cost first, all subscriptions and invoices are asked for."""

ENDED_PAGES = 5
"""So many pages of subscriptions that have ended are listed at most, the latest begun first."""

_WHAT: Mapping[lives.Kind, str] = {
    "began later": "from before a subscription began",
    "ended": "that no subscription bills any more, since it has ended",
    "upgraded": "from before an upgrade, at which Lago made its invoice at once",
    "closed period": "from before the present billing period",
}
_HELD = (
    "Passes hold it: `reconcile held release --all --move` then bills it in the present period, or invoice it by hand "
    "and discard it."
)
_HELD_AFTER_THE_END = (
    "Passes hold it. If such a customer is to go on, subscribe it again in Lago, and let `reconcile held release --all "
    "--move` bill it then; else invoice it by hand and discard it."
)
_BEFORE_A_CHANGE = " `reconcile close`, run before a plan changes or ends, bills such usage in time."
_SENT = "RECONCILE_CLOSED_PERIOD=send sends it all the same, and no invoice has it: invoice it by hand."
_SENT_IN_DOUBT = "Passes send it, since the key may not read what tells: what no invoice has, invoice by hand."


class _Doubt(NamedTuple):
    """Where usage of a name may lie that is not billed."""

    name: str
    part: lives.Part
    is_known: bool


class Subscribed:
    """Looks at the subscriptions of one meter's usage."""

    def __init__(
        self,
        lago: Lago,
        meter: MeterSettings,
        usage: Mapping[str, Usage],
        read: Reader,
        done: Outlook,
        stay: Callable[[], None],
        *,
        was_sent: bool,
    ) -> None:
        """Ask nothing yet.

        Args:
            lago: who is asked.
            meter: whose usage.
            usage: all of it, by the external id of its subscription.
            read: reads how much of it lies in slices.
            done: what is found is added to it.
            stay: called between questions.
            was_sent: whether passes have sent it in time; else it is about to be sent.
        """
        self._lago, self._meter, self._usage, self._read = lago, meter, usage, read
        self._done, self._stay, self._was_sent = done, stay, was_sent
        self._invoices: Invoices | None = None if was_sent else Invoices(lago)

    def see(self, known: Told) -> Told:
        """What Lago tells of each name that it can be asked for: its active subscription, or else others.

        Args:
            known: what was told of names before; what is told now is added to it.
        """
        told: Told = {}
        try:
            self._ask_for([name for name in self._usage if name not in known], known)
            told = {name: known[name] for name in self._usage if name in known}
        except NotPermittedError as error:
            means = "whether usage has a subscription, and a plan that prices it, is not known"
            self._done.untold.append(Unknown("subscriptions", error.unknown(means)))
        self._done.unknown = len(self._usage) - len(told)
        self._say_who_has_none(told)
        self._say_what_lies_elsewhere({name: some for name, some in told.items() if lives.begun(some)})
        return told

    def _ask_for(self, names: Sequence[str], known: Told) -> None:
        """Ask for names; who has and had none may have one that is yet to begin, which one list of these tells."""
        told: Told = {}
        for some in Telling(self._lago, self._stay).tell(names):
            told |= some
        nobody = {name for name, some in told.items() if not some}
        for page in self._lago.subscriptions("pending") if nobody else ():
            for one in page:
                if (name := str(one.get("external_id"))) in nobody:
                    told[name].append(one)
            self._stay()
        known |= told

    def _say_who_has_none(self, told: Told) -> None:
        without = {name: self._usage[name] for name, some in told.items() if not some}
        if without:
            since = min(first for usage in without.values() if (first := usage.first_window))
            cure = (
                f"Make one of that external id that reaches back (subscription_at) to {minute(since)}, as `reconcile "
                "setup --customers` does within the present billing period, or mend RECONCILE_SUBSCRIPTION or "
                "RECONCILE_MAPPING."
            )
            what = "without a subscription in Lago"
            self._done.unbillable.append(Unbillable("no subscription", self._meter.name, what, cure, without))
        waiting = {name: at for name, some in told.items() if not lives.begun(some) and (at := lives.begins_at(some))}
        if waiting:
            what = f"of a subscription that is yet to begin ({min(waiting.values())} or later)"
            cure = "Let it begin earlier in Lago (subscription_at), which can be changed until it begins."
            whose = {name: self._usage[name] for name in waiting}
            self._done.unbillable.append(Unbillable("not begun", self._meter.name, what, cure, whose))

    def _say_what_lies_elsewhere(self, told: Told) -> None:
        """Say what lies where no subscription of a name bills it."""
        doubts = list(self._doubts(told))
        read = self._read([Slice(doubt.name, doubt.part.since, doubt.part.until) for doubt in doubts])
        by_kind: dict[lives.Kind, list[tuple[_Doubt, Usage]]] = defaultdict(list)
        for doubt, usage in zip(doubts, read, strict=True):
            if usage.events:
                by_kind[doubt.part.kind].append((doubt, usage))
        for kind, some in by_kind.items():
            self._done.unbillable.append(self._unbillable(kind, some))

    def _unbillable(self, kind: lives.Kind, some: Sequence[tuple[_Doubt, Usage]]) -> Unbillable:
        first, _ = max(some, key=lambda one: one[1].cost)
        why = f"Of {brief(first.name, 100)}: {first.part.words}."
        unknown = {doubt.name for doubt, _ in some if not doubt.is_known}
        if unknown and first.is_known:
            why += (
                f" Of {count(len(unknown), 'name')} Lago was not asked whether a draft invoice, or a subscription that "
                "has ended, takes it."
            )
        cure = _HELD_AFTER_THE_END if kind == "ended" else _HELD
        if self._meter.closed_period == "send":
            cure = _SENT
        elif unknown and self._invoices is None:
            cure = _SENT_IN_DOUBT
        if kind in {"upgraded", "ended"}:
            cure += _BEFORE_A_CHANGE
        whose = together((doubt.name, usage) for doubt, usage in some)
        return Unbillable(kind, self._meter.name, _WHAT[kind], cure, whose, why=why)

    def _doubts(self, told: Told) -> Iterator[_Doubt]:
        """Where usage may lie that is not billed; all is asked about the names with the most cost."""
        doubtful = {name: some for name, some in told.items() if self._lies_elsewhere(name, lives.begun(some), None)}
        are_all_told = len(doubtful) <= ASKED_ABOUT
        if not are_all_told:
            doubtful, are_all_told = self._with_ended(doubtful)
        asked = 0
        for name in sorted(doubtful, key=lambda name: self._usage[name].cost, reverse=True):
            spans, billed = lives.begun(doubtful[name]), None
            if not self._lies_elsewhere(name, spans, billed):
                continue
            asked += 1
            is_asked = asked <= ASKED_ABOUT
            if is_asked:
                spans, billed = self._ask(name, spans)
            if self._meter.closed_period == "move" and any(one.ended_at is None for one in spans):
                continue
            for part in self._lies_elsewhere(name, spans, billed):
                yield _Doubt(name, part, part.is_known and (is_asked or are_all_told))

    def _with_ended(self, told: Told) -> tuple[Told, bool]:
        """The same with the subscriptions of these names that have ended, of many listed; and whether that is all."""
        both = {name: [*some] for name, some in told.items()}
        for number, page in enumerate(self._lago.subscriptions("terminated")):
            if number == ENDED_PAGES:
                return both, False
            for one in page:
                if (name := str(one.get("external_id"))) in both:
                    both[name].append(one)
            self._stay()
        return both, True

    def _ask(self, name: str, spans: list[Subscription]) -> tuple[list[Subscription], list[Billed] | None]:
        """All subscriptions of a name, and its periods that have an invoice; None if Lago can't tell."""
        customer = spans[0].customer
        if customer is None:
            return spans, None
        try:
            pages = self._lago.subscriptions(customer=customer)
            of_name: list[Thing] = [one for page in pages for one in page if one.get("external_id") == name]
            self._stay()
            return lives.begun(of_name) or spans, self._billed(customer, name)
        except CantBeAskedError:
            return spans, None

    def _billed(self, customer: str, name: str) -> list[Billed] | None:
        if self._invoices is None:
            return None
        try:
            billed = self._invoices.billed(customer, name)
        except NotPermittedError as error:
            means = "whether an invoice still takes usage of a period that is over is not known, and passes send it"
            self._done.untold.append(Unknown("subscriptions", error.unknown(means)))
            self._invoices = None
            return None
        self._stay()
        return billed

    def _lies_elsewhere(
        self, name: str, spans: Sequence[Subscription], billed: Sequence[Billed] | None
    ) -> list[lives.Part]:
        """The parts in which usage of a name may lie, and is not billed."""
        usage = self._usage[name]
        if usage.first_window is None or usage.last_window is None:
            return []
        first, last = usage.first_window, usage.last_window + self._meter.window
        found = lives.parts(spans, billed, was_sent=self._was_sent)
        return [part for part in found if part.may_hold(first, last)]
