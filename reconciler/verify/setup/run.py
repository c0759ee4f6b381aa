"""Setup: look what Lago has, and what the spend table would bill; then make what lacks, if told to."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone, tzinfo

from reconciler.capture.source import open_source
from reconciler.delivery.billable.zones import zone_of
from reconciler.lago.client import Lago
from reconciler.lago.questions import Thing
from reconciler.lago.sentences import CantBeAskedError, NotMadeError
from reconciler.ledger.store import open_ledger
from reconciler.model.errors import ReconcileError, UsageError
from reconciler.model.visible import brief
from reconciler.model.when import When
from reconciler.model.windows import utc_text
from reconciler.model.words import count
from reconciler.settings.load import Settings
from reconciler.verify.setup.decision import UNCHANGED, Call, Todo, plan_faults, see_metric, see_plan
from reconciler.verify.setup.offer import Offer
from reconciler.verify.setup.subscribing import (
    Unbilled,
    Wanted,
    began_later,
    billed_from,
    name_fault,
    not_active,
    period_start,
    present,
    subscribe,
)
from reconciler.verify.setup.users import Users

_STATUSES = ("active", "pending", "terminated")
_FIRST = timezone(timedelta(hours=14))
"""Where a period begins first on Earth, for a zone that Lago does not tell: to begin too early leaves nothing out."""

_IN_A_ROW = 3
"""So many refusals in a row, and no success yet, are Lago's fault and not the customers'."""


@dataclass
class Found(Todo):
    """What a look at Lago and the spend table has found.

    Attributes:
        wanted: who is to be subscribed, those with the most cost first.
        unbilled: usage that Lago bills in no period any more.
    """

    wanted: list[Wanted] = field(default_factory=list)
    unbilled: list[Unbilled] = field(default_factory=list)


class Setup:
    """Looks and makes with one set of settings."""

    def __init__(self, settings: Settings, offer: Offer) -> None:
        """Connect to nothing yet."""
        self._settings = settings
        self._offer = offer
        self._ledger = open_ledger(settings)
        self._source = open_source(settings, self._ledger)
        self._lago = Lago.of(settings, stays="What is there stays as it is")
        self._new: set[str] = set()
        self._of_plan: dict[str, list[Wanted]] = defaultdict(list)

    def close(self) -> None:
        """Close the connections."""
        self._lago.close()
        self._source.close()
        self._ledger.close()

    def look(self, *, customers: bool = False, since: When | None = None) -> Found:
        """Find out what is to be made; nothing is written.

        Args:
            customers: whether those whom the spend table names are to be subscribed.
            since: they are those with usage from there on; None is the horizon.

        Raises:
            UsageError: a price is lacking, or `since` lies in the future.
            ReconcileError: Lago or a database can't be reached or used.
        """
        found = Found()
        ids: dict[str, str] = {}
        counted: dict[str, str] = {}
        for one in self._offer.counted:
            metric = self._lago.metric(one.code)
            if metric:
                ids[one.code] = str(metric.get("lago_id"))
            if (property_ := see_metric(self._offer, one, metric, found)) is not None:
                counted[one.code] = property_
        if len(counted) < len(self._offer.counted):
            return found  # a plan on a metric that counts something else would be a wrong bill
        plan = self._lago.plan(self._offer.plan)
        if see_plan(self._offer, counted, ids, plan, found) and customers:
            self._look_at_customers(plan or self._offer.plan_thing(()), since, found)
        return found

    def make(self, found: Found) -> Iterator[str | None]:
        """Make what is to be made, one by one, unless it has come meanwhile: Lago would take that for a change of it.

        Returns:
            For each call None, or the sentence that says why it was not made: only that of a customer, whose other
            calls are then left out.

        Raises:
            LagoError: it refuses a metric or a plan, or whatever it is asked; or it is away.
        """
        ids: dict[str, str] = {}
        without: set[object] = set()  # customers
        done = refusals = 0
        come = self._subscriptions({call.name for call in found.calls if call.kind == "subscription"})
        for call in found.calls:
            customer = call.thing.get("external_customer_id", call.name)
            if customer in without:
                continue
            try:
                if self._has_come(call, come):
                    without.add(customer)
                    yield f"{brief(call.name, 100)!r}: the {call.kind} was made meanwhile. Run `reconcile setup` again."
                    continue
                made = self._lago.make(call.kind, call.filled(ids))
            except (NotMadeError, CantBeAskedError) as error:
                refusals += 1
                if call.kind in {"billable_metric", "plan"} or (not done and refusals >= _IN_A_ROW):
                    raise
                if call.kind == "customer":
                    without.add(customer)
                yield f"{brief(call.name, 100)!r}: {error}"
                continue
            done += call.kind in {"customer", "subscription"}
            if call.kind == "billable_metric":
                ids[call.name] = str(made.get("lago_id"))
            yield None

    def _has_come(self, call: Call, subscriptions: Mapping[str, list[Thing]]) -> bool:
        """Whether a customer or a subscription that was to be made is there by now."""
        if call.kind == "customer":
            return self._lago.customer(call.name) is not None
        return call.kind == "subscription" and call.name in subscriptions

    def _look_at_customers(self, plan: Thing, since: When | None, found: Found) -> None:
        sight = self._source.sight()
        begin = since(sight.now) if since else sight.now - self._settings.horizon
        if begin > sight.now:
            raise UsageError(f"--since {utc_text(begin.replace(microsecond=0))} is in the future.")
        users = Users(self._settings, self._source, self._ledger, sight, begin)
        found.unfit += users.unnamed
        organization = self._lago.organization()
        zone = _zone(organization.timezone if organization else None) or _FIRST
        wanted = sorted(users.wanted(), key=lambda one: one.usage.cost, reverse=True)
        found.unfit += [fault for one in wanted if (fault := name_fault(one))]
        wanted = [one for one in wanted if not name_fault(one)]
        there = self._subscriptions({one.subscription for one in wanted})
        moments: dict[str, datetime] = {}
        period = period_start(plan, sight.now, zone)
        there_already = set()
        for one in wanted:
            subscriptions = there.get(one.subscription, [])
            if not subscriptions:
                begins = self._subscribe(one, plan, sight.now, zone, found)
            else:
                begins = billed_from(subscriptions, plan, zone) if self._is_there(one, subscriptions, found) else None
                there_already.add(one.subscription)
            if begins:
                moments[one.subscription] = begins
        self._see_plans(found)
        late = users.before({one.subscription: moments[one.subscription] for one in wanted if _began(one, moments)})
        for one in wanted:
            if usage := late.get(one.subscription):
                unbilled = Unbilled(one, moments[one.subscription], usage)
                if one.subscription in there_already and (sentence := began_later(unbilled, period)):
                    found.unfit.append(sentence)
                else:
                    found.unbilled.append(unbilled)

    def _subscriptions(self, names: set[str]) -> Mapping[str, list[Thing]]:
        """What Lago has of these, in whatever state. All are listed, once."""
        found: dict[str, list[Thing]] = defaultdict(list)
        for page in self._lago.subscriptions(_STATUSES) if names else ():
            for one in page:
                if (name := str(one.get("external_id"))) in names:
                    found[name].append(one)
        return found

    def _subscribe(self, one: Wanted, plan: Thing, now: datetime, zone: tzinfo, found: Found) -> datetime | None:
        """Note the calls that subscribe somebody; return from when on his usage is billed, None if it can't be."""
        try:
            customer = self._lago.customer(one.customer)
        except CantBeAskedError as error:
            found.unfit.append(str(error))
            return None
        own_zone = _zone(customer.get("applicable_timezone")) if customer else None
        since = period_start(plan, now, own_zone or zone)
        is_known = customer or {"currency": "USD"} if one.customer in self._new else customer
        calls = subscribe(one, self._offer.plan, since, is_known)
        if isinstance(calls, str):
            found.unfit.append(calls)
            return None
        self._new.add(one.customer)
        found.calls += calls
        found.wanted.append(one)
        return since

    def _is_there(self, one: Wanted, subscriptions: list[Thing], found: Found) -> bool:
        """Whether an active subscription is there; its plan is seen later, with all that go by it."""
        subscription = present(subscriptions)
        if fault := not_active(one, subscription):
            found.unfit.append(fault)
            return False
        self._of_plan[str(subscription.get("plan_code"))].append(one)
        return True

    def _see_plans(self, found: Found) -> None:
        """See whether the plans of the subscriptions that are there bill our usage."""
        for code, some in self._of_plan.items():
            those = count(len(some), "subscription")
            plan = self._lago.plan(code)
            faults = plan_faults(self._offer, plan) if plan else []
            if not faults:
                found.there.append(f"{those} of those with usage, to the plan {code}")
            found.unfit += [
                f"{those} of those with usage, such as {some[0].shown}, go by the plan {code!r}, which {why}. "
                f"{UNCHANGED}: mend the plan in Lago, or let them have another."
                for why in faults
            ]


def _began(one: Wanted, moments: Mapping[str, datetime]) -> bool:
    """Whether some of its usage may lie before its moment."""
    first = one.usage.first_window
    return one.subscription in moments and first is not None and first < moments[one.subscription]


def _zone(name: object) -> tzinfo | None:
    """The time zone that Lago names; None if it names none.

    Raises:
        ReconcileError: this machine does not know it, so that nobody knows when a period began.
    """
    if not isinstance(name, str):
        return None
    if (zone := zone_of(name)) is None:
        raise ReconcileError(
            f"Lago has customers in the time zone {name[:100]!r}, which this machine does not know: install time "
            "zones, such as by `pip install tzdata`, and run `reconcile setup` again."
        )
    return zone
