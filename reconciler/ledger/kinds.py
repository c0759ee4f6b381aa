"""The kinds of alarm: what each says, and how much there is of it. Pure: of figures, sentences.

Most follow from how a meter stands and clear themselves. Incidents are things that happened: they stay until a
person acknowledges them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from reconciler.ledger.balance import Balance
from reconciler.ledger.passes import Passes, Patience
from reconciler.model.money import plain, total
from reconciler.model.words import count, minute

INCIDENTS = ("overtaken", "clock")

BEHIND = timedelta(hours=1)
"""What is planned and Lago has not had for so long needs a person's look, and so do passes that fail for so long."""

PROVISIONED_WITHIN = timedelta(hours=1)
"""A new customer's first usage may come before the subscription: so long nobody needs to look."""

EMPTY = (
    "The spend table has no rows, and never had any. If the proxy has served requests, it does not write them here: "
    "see that its general_settings have neither disable_spend_logs nor disable_spend_updates, that SPEND_LOGS_URL is "
    "not set, and that DATABASE_URL, with its schema, is the proxy's own."
)

AHEAD = timedelta(minutes=45)
"""Rows that lie so far ahead were not stamped with UTC; clocks differ by less."""

AWAY, FARTHEST = timedelta(hours=1, minutes=45), timedelta(hours=12, minutes=15)
"""Rows that all arrive so late, and not later, may be stamped with the time of a zone west of UTC. A request takes an
hour and 40 minutes at most (LiteLLM's request_timeout)."""

ARRIVALS = 3
"""So many arrivals in a day are no chance."""

NAMED = 3
"""So many names stand in a sentence."""

LONGEST_NAME = 60
"""So much of a name stands in a sentence."""


@dataclass(frozen=True)
class Alarm:
    """Something that a person should look at.

    Attributes:
        kind: one word.
        message: one sentence or more: who, how much, why, and what to do.
        extent: how much of it there is: events, buckets or rows.
        cost: how much it is in USD. More of either than at any time since an acknowledgement rings again.
    """

    kind: str
    message: str
    extent: Decimal = Decimal(1)
    cost: Decimal = Decimal(0)


def of(balance: Balance, passes: Passes, patience: Patience) -> Iterator[Alarm]:
    """The alarms that follow from how a meter stands, and from how the passes over it have gone."""
    yield from behind(balance, passes, patience, failing=BEHIND)
    for kind in (
        _quarantined,
        _conflict,
        _held,
        _frozen,
        _unmapped,
        _unsubscribed,
        _suspect,
        _unpriced,
        _local_time,
        _empty,
        _purged,
        _late,
        _silent,
    ):
        yield from kind(balance)


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
    why = f"at last: {balance.planned_failure}" if balance.planned_failure else "none was tried in vain"
    wait = "waits" if balance.planned_events == 1 else "wait"
    yield (
        f"{count(balance.planned_events, 'event')} ({_usd(balance.planned_cost)}) {wait} to be delivered, the oldest "
        f"since {minute(balance.planned_since)} ({why}). If Lago refuses or throttles us, mend that there; if there "
        "is more than passes can send, run them more often, or raise RECONCILE_DEADLINE or RECONCILE_CONNECTIONS."
    )


def _usd(amount: Decimal) -> str:
    """An amount, exact: who reads an alarm may have to invoice it."""
    return f"{plain(amount)} USD"


def _whose(names: Sequence[str], costs: Sequence[Decimal]) -> str:
    """The first few by their cost, such as `acme (62.5 USD), globex (1 USD)`."""
    return ", ".join(f"{_brief(name)} ({_usd(cost)})" for name, cost in zip(names, costs, strict=True))


def _brief(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else f"{name[:LONGEST_NAME]}…"


def _quarantined(balance: Balance) -> Iterator[Alarm]:
    if not (number := balance.quarantined_events - balance.conflicting_events):
        return
    cost = total([balance.quarantined_cost, balance.conflicting_cost.copy_negate()])
    yield Alarm(
        "quarantined",
        f"Lago refuses {count(number, 'event')} for good ({_usd(cost)}), most of it of "
        f"{_whose(balance.quarantined_names, balance.quarantined_costs)}. Why: {balance.quarantined_answer}. "
        "`reconcile quarantine` shows them all. Mend the cause, then `reconcile quarantine retry --all`.",
        Decimal(number),
        cost,
    )


def _conflict(balance: Balance) -> Iterator[Alarm]:
    if number := balance.conflicting_events:
        yield Alarm(
            "conflict",
            f"Lago holds other events under the ids of {number:,} of ours ({_usd(balance.conflicting_cost)}), most of "
            f"it of {_whose(balance.conflicting_names, balance.conflicting_costs)}: another ledger or proxy bills "
            "under this meter's name. Their buckets send nothing more. Find out who else sends, compare by `reconcile "
            "quarantine`, then retry or discard.",
            Decimal(number),
            balance.conflicting_cost,
        )


def _held(balance: Balance) -> Iterator[Alarm]:
    if not balance.held_events:
        return
    why = balance.held_answer or "an earlier event of their bucket is in conflict"
    are = "is" if balance.held_events == 1 else "are"
    yield Alarm(
        "held",
        f"{count(balance.held_events, 'event')} {are} held back ({_usd(balance.held_cost)}), most of it of "
        f"{_whose(balance.held_names, balance.held_costs)}. Why: {why}. `reconcile held` shows them all. Bill them in "
        "the present period (`reconcile held release --all --move`), or invoice them by hand and discard them; behind "
        "a conflict they wait for a decision about that.",
        Decimal(balance.held_events),
        balance.held_cost,
    )


def _frozen(balance: Balance) -> Iterator[Alarm]:
    if number := balance.frozen_buckets:
        yield Alarm(
            "frozen",
            f"{count(number, 'bucket')} hold less in the source than was billed ({_usd(balance.frozen_cost)} less): "
            "rows were deleted or lowered. Nothing is credited by itself: `reconcile frozen` lists them. Restore the "
            "rows, or credit it in Lago and put that on record by `reconcile frozen accept`.",
            Decimal(number),
            balance.frozen_cost,
        )


def _unmapped(balance: Balance) -> Iterator[Alarm]:
    if not balance.unmapped_buckets or balance.unmapped_since is None:
        return
    most = _whose(balance.unmapped_customers, balance.unmapped_costs)
    whose = count(balance.unmapped_number, "customer") if most else "customers"  # no look has seen whose it is
    yield Alarm(
        "unmapped",
        f"RECONCILE_MAPPING lacks {whose} of {count(balance.unmapped_buckets, 'bucket')} "
        f"({_usd(balance.unmapped_cost)}){f', most of it of {most}' if most else ''}, the oldest of "
        f"{minute(balance.unmapped_since)}. Add them: the next daily look bills them. Windows older than "
        "RECONCILE_HORIZON need a `reconcile --since` then. What retention deletes before is not billed.",
        Decimal(balance.unmapped_buckets),
        balance.unmapped_cost,
    )


def _unsubscribed(balance: Balance) -> Iterator[Alarm]:
    if balance.unsubscribed_since is None or balance.unsubscribed_for is None:
        return
    if balance.unsubscribed_for <= PROVISIONED_WITHIN:
        return
    began = balance.unsubscribed_too_early
    late = f" Of {began:,} of them there is one now that began later than their usage." if began else ""
    yield Alarm(
        "unsubscribed",
        f"{count(balance.unsubscribed_events, 'event')} ({_usd(balance.unsubscribed_cost)}) went to Lago for "
        f"{count(balance.unsubscribed_number, 'name')} of which it knows no subscription, most of it for "
        f"{_whose(balance.unsubscribed_names, balance.unsubscribed_costs)}. No invoice covers it yet.{late} Make a "
        "subscription of that external id that reaches back (subscription_at) to "
        f"{minute(balance.unsubscribed_since)}, or mend RECONCILE_SUBSCRIPTION or RECONCILE_MAPPING for what comes. "
        "The alarm ends by itself some minutes later.",
        Decimal(balance.unsubscribed_events),
        balance.unsubscribed_cost,
    )


def _suspect(balance: Balance) -> Iterator[Alarm]:
    if number := balance.suspect_rows:
        have, are = ("has", "it is") if number == 1 else ("have", "they are")
        yield Alarm(
            "suspect",
            f"{count(number, 'row')} {have} negative, NaN or infinite spend, negative tokens, "
            f"or names that no event can hold (not UTF-8, or above 4 MB): {are} not billed.",
            Decimal(number),
        )


def _unpriced(balance: Balance) -> Iterator[Alarm]:
    if not balance.unpriced_rows:
        return
    models = balance.unpriced_models
    names = ", ".join(_brief(model) or "no name" for model in models[:NAMED])
    have, cost = ("has", "costs") if balance.unpriced_rows == 1 else ("have", "cost")
    yield Alarm(
        "unpriced",
        f"{count(balance.unpriced_rows, 'row')} of {count(len(models), 'model')} {have} "
        f"{count(balance.unpriced_tokens, 'token')} and {cost} nothing: {names}"
        f"{' and others' if len(models) > NAMED else ''}. LiteLLM has no price for such a model: give it one in the "
        "proxy's model list (input_cost_per_token, output_cost_per_token); what is written already stays without cost. "
        "If it is free on purpose, acknowledge this: it rings again for another model.",
        Decimal(len(models)),  # how much such models are used is no news
    )


def _local_time(balance: Balance) -> Iterator[Alarm]:
    clock, newest = balance.source_clock, balance.newest_row
    if clock is None or newest is None:
        return
    if newest - clock >= AHEAD:
        how = (
            f"The newest row of the spend table, of {minute(newest)}, lies {_hours(newest - clock)} ahead of the "
            f"database's clock, {minute(clock)}"
        )
        means = "its usage is billed late"
    elif balance.arrivals >= ARRIVALS and balance.late_by is not None and AWAY <= balance.late_by <= FARTHEST:
        how = (
            "Rows arrive in the spend table, and in a day the newest was never nearer to the database's clock than "
            f"{_hours(balance.nearest or balance.late_by)}"
        )
        means = "its usage is looked for late"
    else:
        return
    yield Alarm(
        "local time",
        f"{how}. The proxy writes local time, as LiteLLM did before February 2025, or its clock is wrong, or its rows "
        f"are hours late: {means}, and at the ends of billing periods it is billed in the wrong one. Upgrade LiteLLM, "
        "or run the proxy with TZ=UTC. Rows that are there keep their times.",
    )


def _hours(span: timedelta) -> str:
    """A difference of time zones, to the quarter of an hour."""
    return f"{round(span / timedelta(minutes=15)) / 4:g} hours"


def _empty(balance: Balance) -> Iterator[Alarm]:
    if balance.empty_for is not None and not balance.is_new_and_empty:
        yield Alarm("empty", EMPTY)


def _purged(balance: Balance) -> Iterator[Alarm]:
    if balance.purge_mark is not None:
        yield Alarm(
            "purged",
            f"Retention has deleted spend rows up to the window of {minute(balance.purge_mark)}. What is missing up to "
            "there is no credit; what is there and not billed is billed.",
        )


def _late(balance: Balance) -> Iterator[Alarm]:
    if balance.late_rows or balance.late_cost:
        yield Alarm(
            "late",
            "Usage came to windows that retention has reached, in buckets that hold less than was billed: at least "
            f"{count(balance.late_rows, 'row')}, and at least {_usd(balance.late_cost)} that are not billed. Rows that "
            "were copied back are billed, late ones are not; which is which can't be told. First copy back whatever "
            "you mean to: what is above billed then is billed by itself. Invoice only the rest by hand.",
            Decimal(balance.late_rows),
            balance.late_cost,
        )


def _silent(balance: Balance) -> Iterator[Alarm]:
    if balance.silent:
        yield Alarm(
            "silent",
            "The spend table has had no rows for three hours, where the same hours of last week had some: does the "
            "proxy write to this database?",
        )


def overtaken(mark: datetime, watermark: datetime) -> Alarm:
    """The incident that retention has come to where no pass had looked."""
    return Alarm(
        "overtaken",
        f"Retention has come to the window of {minute(mark)} before it was billed: passes had come to "
        f"{minute(watermark)} only. What it has deleted from there on can't be billed; what is left is. Run passes "
        "more often, or let retention keep rows longer.",
    )


def pulled_back(now: datetime, moved: Sequence[tuple[str, datetime, datetime]]) -> Alarm:
    """The incident that a meter was ahead of the source's clock.

    Args:
        now: the source's clock.
        moved: what was pulled back, `start` or `watermark`, from where and to where.
    """
    what = " and ".join(f"the {name} from {minute(ahead)} to {minute(moment)}" for name, ahead, moment in moved)
    earlier = " To bill usage before the start: `reconcile --since WHEN`." if moved[0][0] == "start" else ""
    return Alarm(
        "clock",
        f"This meter was ahead of the source's clock ({minute(now)}), so a pass pulled back {what}: was a clock wrong?"
        f"{earlier}",
    )
