"""Alarms of usage that is not billed as it should be."""

from collections.abc import Iterator
from decimal import Decimal

from reconciler.ledger.balance import Balance
from reconciler.ledger.kinds.alarm import Alarm, exact, most_of, short
from reconciler.model.words import count, minute

NAMED = 3
"""So many names stand in a sentence."""


def frozen(balance: Balance) -> Iterator[Alarm]:
    """Buckets that hold less than was billed."""
    if number := balance.frozen_buckets:
        hold = "holds" if number == 1 else "hold"
        yield Alarm(
            "frozen",
            f"{count(number, 'bucket')} {hold} less in the source than was billed ({exact(balance.frozen_cost)} less)"
            f"{most_of(balance.whose.get('frozen'))}: rows were deleted or lowered. Nothing is credited by itself: "
            "`reconcile frozen` lists them. Restore the rows, or credit it in Lago and put that on record by "
            "`reconcile frozen accept`.",
            Decimal(number),
            balance.frozen_cost,
        )


def unmapped(balance: Balance) -> Iterator[Alarm]:
    """Usage of customers that the mapping lacks."""
    if not balance.unmapped_buckets or balance.unmapped_since is None:
        return
    who = balance.whose.get("unmapped")
    customers = count(who.number, "customer") if who else "customers"
    yield Alarm(
        "unmapped",
        f"RECONCILE_MAPPING lacks {customers} with usage ({count(balance.unmapped_buckets, 'bucket')}, "
        f"{exact(balance.unmapped_cost)}){most_of(who)}, the oldest of "
        f"{minute(balance.unmapped_since)}. Add them: the next daily look bills them. Windows older than "
        "RECONCILE_HORIZON need a `reconcile --since` then. What retention deletes before is not billed.",
        Decimal(balance.unmapped_buckets),
        balance.unmapped_cost,
    )


def suspect(balance: Balance) -> Iterator[Alarm]:
    """Rows that can't be billed."""
    if number := balance.suspect_rows:
        have, are = ("has", "it is") if number == 1 else ("have", "they are")
        who = balance.whose.get("suspect")
        most = ", ".join(map(_rows_of, who.customers, who.requests)) if who else ""
        yield Alarm(
            "suspect",
            f"{count(number, 'row')} {have} negative, NaN or infinite spend, negative tokens, "
            f"or names that no event can hold (not UTF-8, or above 4 MB): {are} not billed"
            f"{f'. Most are of {most}' if most else ''}. "
            "docs/operations.md has a query that finds them. Mend or delete the rows, or acknowledge this.",
            Decimal(number),
        )


def _rows_of(customer: str, rows: int) -> str:
    return f"{short(customer)} ({count(rows, 'row')})"


def unpriced(balance: Balance) -> Iterator[Alarm]:
    """Rows with tokens that cost nothing."""
    if not balance.unpriced_rows:
        return
    models = balance.unpriced_models
    names = ", ".join(short(model) for model in models[:NAMED])
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


def late(balance: Balance) -> Iterator[Alarm]:
    """What came to purged windows, and can't be told from what is billed."""
    if balance.late_rows or balance.late_cost:
        yield Alarm(
            "late",
            "Usage came to windows that retention has reached, in buckets that hold less than was billed"
            f"{most_of(balance.whose.get('late'))}: at least {count(balance.late_rows, 'row')}, and at least "
            f"{exact(balance.late_cost)} that are not billed. Rows that were copied back are billed, late ones are "
            "not; which is which can't be told. First copy back whatever you mean to: what is above billed then is "
            "billed by itself. Invoice only the rest by hand.",
            Decimal(balance.late_rows),
            balance.late_cost,
        )
