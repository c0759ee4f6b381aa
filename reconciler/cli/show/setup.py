"""What setup has found, and what it would make, for people."""

import json
from collections.abc import Iterable

from reconciler.cli import terminal
from reconciler.cli.terminal import Row
from reconciler.model.money import total, usd
from reconciler.model.words import count, minute, moment
from reconciler.verify.setup.decision import Call
from reconciler.verify.setup.run import Found
from reconciler.verify.setup.subscribing import Unbilled

SHOWN = 20
"""So many customers people are shown."""

_KINDS = {"billable_metric": "metric"}


def found(seen: Found, base: str, *, dry_run: bool) -> None:
    """Say what is there, what is to be made, and whose usage is never billed."""
    for line in seen.there:
        terminal.say(f"There: {line}.")
    if not seen.calls:
        terminal.say(f"Nothing is to be made in Lago ({base}).")
    else:
        terminal.heading(f"To be made in Lago ({base})")
        calls = [call for call in seen.calls if call.kind in {"billable_metric", "plan"}]
        terminal.facts((f"  {_KINDS.get(call.kind, call.kind)} {call.name}", _what(call)) for call in calls)
        _subscriptions(seen)
    if dry_run and seen.calls:
        terminal.heading("The calls")
        for call in seen.calls:
            asked = call.as_json()
            terminal.say(f"{asked['method']} {asked['path']} {json.dumps(asked['body'], ensure_ascii=False)}")
    if seen.unbilled:
        _never_billed(seen.unbilled)


def unfit(sentences: Iterable[str]) -> None:
    """Say on standard error what does not fit."""
    all_of_them = list(sentences)
    for sentence in all_of_them[:SHOWN]:
        terminal.say(f"! {sentence}", terminal.LOOK, stderr=True)
    if len(all_of_them) > SHOWN:
        terminal.say(f"! {len(all_of_them) - SHOWN:,} more; `--json` lists all.", terminal.LOOK, stderr=True)


def _what(call: Call) -> str:
    if call.kind == "billable_metric":
        return f"the sum of {call.thing['field_name']}"
    charges = []
    for charge in call.thing["charges"]:
        by_model = ", model by model" if "pricing_group_keys" in charge["properties"] else ""
        charges.append(f"{charge['properties']['amount']} USD a unit{by_model}")
    return f"monthly, without a fee of its own; {'; '.join(charges)}"


def _subscriptions(seen: Found) -> None:
    since = {call.name: call.thing["subscription_at"] for call in seen.calls if call.kind == "subscription"}
    if not since:
        return
    new = sum(call.kind == "customer" for call in seen.calls)
    cost = usd(total(one.usage.cost for one in seen.wanted))
    terminal.facts([(f"  {count(len(since), 'subscription')}", f"{count(new, 'new customer')}, {cost} USD seen")])
    rows = (
        Row((f"  {one.subscription}", one.customer if one.customer != one.subscription else "",
             since[one.subscription], usd(one.usage.cost), moment(one.usage.first_window)))
        for one in seen.wanted[:SHOWN]
    )  # fmt: skip
    terminal.table(("  subscription", "customer?", "subscription_at", "USD seen>", "first window (UTC)"), rows)
    if len(seen.wanted) > SHOWN:
        terminal.say(f"  {len(seen.wanted) - SHOWN:,} more; `--json` or `--dry-run` lists all.")


def _never_billed(unbilled: list[Unbilled]) -> None:
    cost = usd(total(each.usage.cost for each in unbilled))
    terminal.heading(f"Never billed by Lago: {count(len(unbilled), 'customer')}, {cost} USD")
    terminal.say(
        "Lago bills no period before the one in which a subscription was made. Passes hold this usage; "
        "`reconcile held release --move` bills it in the present period."
    )
    shown = sorted(unbilled, key=lambda each: each.usage.cost, reverse=True)
    rows = (
        Row((f"  {each.wanted.subscription}", usd(each.usage.cost), minute(each.before)), terminal.LOOK)
        for each in shown[:SHOWN]
    )
    terminal.table(("  subscription", "USD>", "used before"), rows)
    if len(shown) > SHOWN:
        terminal.say(f"  {len(shown) - SHOWN:,} more; `--json` lists all.")
