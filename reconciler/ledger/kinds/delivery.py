"""Alarms of delivery: what does not get to Lago, or is not billed there."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from decimal import Decimal

from reconciler.ledger.balance import Balance
from reconciler.ledger.kinds.alarm import Alarm, exact, whose
from reconciler.ledger.passes import Passes, Patience
from reconciler.model.money import total
from reconciler.model.words import count, minute

BEHIND = timedelta(hours=1)
"""What is planned and Lago has not had for so long needs a person's look, and so do passes that fail for so long."""

PROVISIONED_WITHIN = timedelta(hours=1)
"""A new customer's first usage may come before the subscription: so long nobody needs to look."""


def behind(
    balance: Balance, passes: Passes, patience: Patience, *, failing: timedelta = timedelta(0)
) -> Iterator[Alarm]:
    """The alarm that passes don't do their work, or don't get to deliver.

    Args:
        balance: how the meter stands.
        passes: how they have gone.
        patience: from when on they are not as they should be.
        failing: for how long they may fail.
    """
    why = [*passes.troubles(patience, failing=failing), *_undelivered(balance)]
    if not why:
        return
    waiting = balance.planned_events > 0
    yield Alarm(
        "behind",
        " ".join([*why, "Nothing is lost: the next pass that works makes up for it."]),
        Decimal(balance.planned_events) if waiting else Decimal(1),
        balance.planned_cost,
    )


def _undelivered(balance: Balance) -> Iterator[str]:
    if balance.planned_since is None or balance.planned_for is None or balance.planned_for <= BEHIND:
        return
    why = f"the last failure: {balance.planned_failure}" if balance.planned_failure else "no try has failed"
    wait = "waits" if balance.planned_events == 1 else "wait"
    names = whose(balance.planned_names, balance.planned_costs, in_part=balance.planned_in_part)
    yield (
        f"{count(balance.planned_events, 'event')} ({exact(balance.planned_cost)}) {wait} to be delivered, the oldest "
        f"since {minute(balance.planned_since)} ({why}), most of it of {names}. If Lago refuses or throttles "
        "us, mend that there; if there is more than passes can send, run them more often, or raise RECONCILE_DEADLINE "
        "or RECONCILE_CONNECTIONS."
    )


def _stuck(balance: Balance, names: Sequence[str], costs: Sequence[Decimal]) -> str:
    return whose(names, costs, in_part=balance.stuck_in_part)


def quarantined(balance: Balance) -> Iterator[Alarm]:
    """What Lago refuses for good."""
    if not (number := balance.quarantined_events - balance.conflicting_events):
        return
    cost = total([balance.quarantined_cost, balance.conflicting_cost.copy_negate()])
    yield Alarm(
        "quarantined",
        f"Lago refuses {count(number, 'event')} for good ({exact(cost)}), most of it of "
        f"{_stuck(balance, balance.quarantined_names, balance.quarantined_costs)}. Why: {balance.quarantined_answer}. "
        "`reconcile quarantine` shows them all. Mend the cause, then `reconcile quarantine retry --all`.",
        Decimal(number),
        cost,
    )


def conflict(balance: Balance) -> Iterator[Alarm]:
    """Lago holds other events under our ids."""
    if number := balance.conflicting_events:
        yield Alarm(
            "conflict",
            f"Lago holds other events under the ids of {number:,} of ours ({exact(balance.conflicting_cost)}), most of "
            f"it of {_stuck(balance, balance.conflicting_names, balance.conflicting_costs)}: another ledger or proxy "
            "bills under this meter's name. Their buckets send nothing more. Find out who else sends, compare by "
            "`reconcile quarantine`, then retry or discard.",
            Decimal(number),
            balance.conflicting_cost,
        )


def held(balance: Balance) -> Iterator[Alarm]:
    """What waits for a decision."""
    if not balance.held_events:
        return
    why = balance.held_answer or "an earlier event of their bucket is in conflict"
    are = "is" if balance.held_events == 1 else "are"
    takes_back = any(cost < 0 for cost in balance.held_costs)
    credit = " What is below zero takes back invoiced usage: credit it in Lago, and discard it." if takes_back else ""
    yield Alarm(
        "held",
        f"{count(balance.held_events, 'event')} {are} held back ({exact(balance.held_cost)}), most of it of "
        f"{_stuck(balance, balance.held_names, balance.held_costs)}. Why: {why}. `reconcile held` shows them all. Bill "
        "them in the present period (`reconcile held release --all --move`), or invoice them by hand and discard them; "
        f"behind a conflict they wait for a decision about that.{credit}",
        Decimal(balance.held_events),
        balance.held_cost,
    )


def unsubscribed(balance: Balance) -> Iterator[Alarm]:
    """What was sent for names of which Lago knows no subscription."""
    if balance.unsubscribed_since is None or balance.unsubscribed_for is None:
        return
    if balance.unsubscribed_for <= PROVISIONED_WITHIN:
        return
    began = balance.unsubscribed_too_early
    late = f" Of {began:,} of them there is one now that began later than their usage." if began else ""
    yield Alarm(
        "unsubscribed",
        f"{count(balance.unsubscribed_events, 'event')} ({exact(balance.unsubscribed_cost)}) went to Lago for "
        f"{count(balance.unsubscribed_number, 'name')} of which it knows no subscription, most of it for "
        f"{whose(balance.unsubscribed_names, balance.unsubscribed_costs)}. No invoice covers it yet.{late} Make a "
        "subscription of that external id that reaches back (subscription_at) to "
        f"{minute(balance.unsubscribed_since)}, or mend RECONCILE_SUBSCRIPTION or RECONCILE_MAPPING for what comes. "
        "The alarm ends by itself some minutes later.",
        Decimal(balance.unsubscribed_events),
        balance.unsubscribed_cost,
    )
