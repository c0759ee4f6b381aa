"""The rows of the spend table: whether they come, stay and are stamped as billing needs it. Pure."""

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal

from reconciler.ledger.kinds.rows import EMPTY, is_ahead
from reconciler.model.money import usd
from reconciler.model.words import count, length, minute
from reconciler.verify.doctor.check import Check, Mark, Untold
from reconciler.verify.doctor.source_facts import Billing, Rows, Server, SourceFacts, Verdicts

CLOCKS = timedelta(seconds=30)
"""Clocks that differ by more than this need a look."""


def rows(found: Verdicts | Untold, facts: SourceFacts, meter: str) -> Check:
    """What the proxy wrote in the last day, and whose it is."""

    def check(mark: Mark, says: str, cure: str = "") -> Check:
        return Check("rows", mark, says, cure, meter)

    if isinstance(found, Untold):
        return check(Mark.LOOK, f"The rows of the last day can't be summed as a look does: {found.why}")
    number = sum(each.rows for each in found.values())
    if not number:
        return _no_rows(facts, check)
    has = {verdict: each for verdict, each in found.items() if each.rows}
    told = ", ".join(f"{each.rows:,} {verdict}" for verdict, each in sorted(has.items()))
    says = f"{count(number, 'row')} in the last day, {number / 24:,.1f} an hour: {told}."
    lost = has.get("unattributed", Rows(0, Decimal()))
    if lost.rows > number / 2:
        return check(
            Mark.LOOK,
            f"{says} Most have no customer ({usd(lost.cost)} USD), so nobody is billed for them.",
            "See whether LAGO_API_CHARGE_BY names who is billed; `reconcile customers --unattributed` lists them.",
        )
    if "suspect" in has:
        cure = "`reconcile alarm list` says more once passes have seen them; mend what prices models in LiteLLM."
        return check(Mark.LOOK, f"{says} Suspect rows have negative or endless amounts, and are not billed.", cure)
    if "unpriced" in has:
        cure = "Give these models a price in LiteLLM (model_info), or exclude them."
        return check(Mark.LOOK, f"{says} Unpriced rows have tokens and cost nothing.", cure)
    return check(Mark.GOOD, says)


def _no_rows(facts: SourceFacts, check: Callable[..., Check]) -> Check:
    cure = "See whether the proxy runs, and writes to this database and schema (disable_spend_logs, SPEND_LOGS_URL)."
    if facts.oldest is None and facts.newest is None:
        return check(Mark.LOOK, EMPTY)
    if facts.week_ago:
        return check(Mark.LOOK, f"No row in the last day; the same day of last week had {facts.week_ago:,}.", cure)
    newest = facts.newest
    since = f"; the newest is of {minute(newest)}" if isinstance(newest, datetime) else ""
    return check(Mark.LOOK, f"No row in the last day{since}.", cure)


def retention(oldest: datetime | Untold | None, now: datetime, billing: Billing) -> Check:
    """Whether rows stay for as long as late ones are looked for, and until they are billed."""
    if isinstance(oldest, Untold):
        return Check("retention", Mark.LOOK, f"The oldest row can't be found: {oldest.why}")
    mark, horizon = billing.purge_mark, length(billing.horizon)
    if mark is not None and billing.watermark is not None and billing.watermark < mark:
        return Check(
            "retention",
            Mark.BAD,
            f"It has come to {minute(mark)}, and passes only to {minute(billing.watermark)}: what it deletes before a "
            "pass has seen it is not billed.",
            "Let retention keep rows longer, and run passes now.",
        )
    if mark is not None and now - mark < billing.horizon:
        return Check(
            "retention",
            Mark.LOOK,
            f"It deletes rows after about {length(now - mark)}, and late rows are looked for {horizon} back: days that "
            "are gone `reconcile verify` can't compare.",
            "Let retention keep rows for longer than RECONCILE_HORIZON, or shorten that.",
        )
    if oldest is None:
        return Check("retention", Mark.GOOD, "There are no rows yet.")
    age = f"The oldest row is {length(now - oldest)} old"
    if now - oldest >= billing.horizon:
        return Check("retention", Mark.GOOD, f"{age}; late rows are looked for {horizon} back.")
    return Check("retention", Mark.GOOD, f"{age}; passes have seen no deletion.")


def clock(server: Server, here: datetime, newest: datetime | Untold | None) -> Check:
    """Whether clocks agree, and rows are stamped with UTC."""
    if isinstance(newest, datetime) and is_ahead(newest, server.now):
        return Check(
            "clock",
            Mark.LOOK,
            f"The newest row, of {minute(newest)}, lies {length(newest - server.now)} ahead of the source's clock: the "
            "proxy writes local time, as LiteLLM did before February 2025, or its clock is wrong.",
            "Upgrade LiteLLM, or run the proxy with TZ=UTC.",
        )
    apart = server.now - here
    if abs(apart) > CLOCKS:
        side = "ahead of" if apart > timedelta(0) else "behind"
        return Check(
            "clock",
            Mark.LOOK,
            f"The source's clock is {length(abs(apart))} {side} this machine's. Windows go by the source's.",
            "Mend the clock that is wrong (NTP).",
        )
    seen = f" The newest row is of {minute(newest)}." if isinstance(newest, datetime) else ""
    return Check("clock", Mark.GOOD, f"{minute(server.now)}, as here.{seen}")
