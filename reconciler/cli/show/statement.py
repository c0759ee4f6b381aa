"""A statement for one customer, as people see it: tables to the cent, and exact sums below them."""

from collections.abc import Iterator
from itertools import islice

from reconciler.cli import terminal
from reconciler.cli.terminal import Row
from reconciler.model.money import plain, usd
from reconciler.model.visible import brief
from reconciler.model.words import count, minute, moment
from reconciler.report.bucket import SpendRow, Told
from reconciler.report.closing import Kept, to_the_millisecond
from reconciler.report.events import Event
from reconciler.report.statement import Counted, Figures, Line, Statement

_ID = 15
"""So much of an event's id is shown: a beginning is enough for every command."""

_STATES = {"planned": "on their way: the next pass sends them", "held": "held: see `reconcile held`",
           "quarantined": "refused for good by Lago: see `reconcile quarantine`",
           "discarded": "given up by a person: `reconcile events show ID` says why"}  # fmt: skip


def statement(one: Statement, limit: int) -> None:
    """Show a statement; at most so many days and events."""
    terminal.heading(f"Meter {one.meter}: what {one.customer} is billed, {moment(one.since)} to {minute(one.until)}")
    if one.since < one.start:
        terminal.say(f"Billing starts at {minute(one.start)}; before that only what was backfilled is billed.")
    terminal.heading("Usage in the spend table, and what is billed of it")
    terminal.table(
        ("day (UTC)", "model?", "rows>", "input>", "output>", "USD>", "billed>", "left out>?"),
        (_line(each) for each in islice(one.lines, limit)),
    )
    _more(one.lines, "days and models")
    for sentence in _sums(one):
        terminal.say(sentence)
    if one.figures.events:
        terminal.heading("Events in the ledger, the newest first")
        terminal.table(
            ("id", "window (UTC)", "model=", "subscription=", "revision>?", "USD>", "state"),
            (_event(each) for each in islice(one.events, limit)),
        )
        _more(one.events, "events")
        terminal.say("`--event ID` shows the rows of one of them, `reconcile events show ID` what was sent.")
    if one.credits:
        terminal.heading("Credits on record")
        terminal.table(
            ("window (UTC)", "model=", "USD>", "since (UTC)", "by", "why"),
            (Row((moment(each.window_start), each.model, usd(each.cost), moment(each.accepted_at), each.accepted_by,
                  each.reason)) for each in one.credits),
        )  # fmt: skip
    if one.closings:
        terminal.heading("Closed before the plan was to change")
        terminal.table(
            ("subscription=", "up to (UTC)", "by", "events>", "USD>", "how it ended"), map(_closing, one.closings)
        )
    _lago(one)


def event(told: Told, limit: int) -> None:
    """Show the rows that one event's bucket is made of, at most so many."""
    one, used = told.event, told.used
    of = f"meter {one.meter}, window {moment(one.window_start)} UTC, model {one.model or '(none)'}"
    bills = f"{_usage(one.requests, one.input_tokens, one.output_tokens)}, {plain(one.cost)} USD"
    terminal.facts(
        [
            ("event", one.transaction_id),
            ("of", f"{of}, revision {one.revision}"),
            ("bills", bills),
            ("state", f"{one.state}{f', for {one.held_for}' if one.held_for else ''}"),
            ("since", minute(at) if (at := one.decided_at or one.answered_at) else "not answered yet"),
        ]
    )
    terminal.heading("Rows of its window, customer and model in the spend table")
    terminal.table(
        ("request_id", "time (UTC)", "input>", "output>", "USD>", "not billed?"), map(_row, islice(told.rows, limit))
    )
    _more(told.rows, "rows")
    terminal.say(
        f"Billable: {_usage(used.requests, used.input_tokens, used.output_tokens)}, {plain(used.cost)} USD. "
        f"Billed by {count(told.events, 'event')} of them: {plain(told.billed_cost)} USD."
    )
    if told.events > 1:
        terminal.say("Which row came with which revision can't be told: each bills what the rows had more by then.")
    if used.cost != told.billed_cost:
        terminal.say("The two differ: the statement, without `--event`, says why.", terminal.LOOK)


def _line(line: Line) -> Row:
    of = line.figures
    left_out = of.excluded_rows + of.failed_rows + of.suspect_rows
    return Row(
        (line.day.isoformat(), line.model, f"{of.requests:,}", f"{of.input_tokens:,}", f"{of.output_tokens:,}",
         usd(of.cost), usd(of.billed_cost), f"{left_out:,}"),
        terminal.LOOK if of.differences else "",
    )  # fmt: skip


def _sums(one: Statement) -> Iterator[str]:
    of = one.figures
    events, credits_ = f"events {plain(of.events_cost)} USD", f"credits {plain(of.credited_cost)} USD"
    if of.taken_over_cost:
        events += f" + taken over of LiteLLM's callback {plain(of.taken_over_cost)} USD"
    source = f"source {plain(of.cost)} USD, {events} - {credits_} = {plain(of.billed_cost)} USD billed"
    if of.differences:
        by = (
            f"by {plain(of.differs_cost)} USD"
            if of.differs_cost
            else "in sum by no USD, and yet in tokens, rows or days"
        )
        yield f"In all: {source}. They differ {by}:"
        for each in of.differences:
            yield f"- {each.why}: {count(each.buckets, 'bucket')}, {plain(each.cost)} USD. {each.means}"
    else:
        yield f"In all: {source}. They agree to the last decimal, tokens too, on each day and for each model."
    for state, means in _STATES.items():
        if cost := getattr(of, f"{state}_cost"):
            yield f"Of the events {plain(cost)} USD are {means}."
    yield from _left_out(of)


def _left_out(of: Figures) -> Iterator[str]:
    if of.excluded_rows:
        yield (
            f"Left out by RECONCILE_EXCLUDE or RECONCILE_CACHE_HITS: {count(of.excluded_rows, 'row')}, "
            f"{plain(of.excluded_cost)} USD."
        )
    if of.failed_rows:
        yield f"Left out since they failed and cost nothing: {count(of.failed_rows, 'row')}."
    if of.suspect_rows:
        yield f"Left out as suspect, with negative, NaN or infinite figures: {count(of.suspect_rows, 'row')}."
    if of.unpriced_rows:
        yield f"Billed at no cost, since LiteLLM has no price for the model: {count(of.unpriced_rows, 'row')}."


def _event(one: Event) -> Row:
    return Row(
        (one.transaction_id[:_ID], moment(one.window_start), one.model, one.subscription, str(one.revision),
         usd(one.cost), one.state),
        terminal.LOOK if one.state in {"held", "quarantined"} else "",
    )  # fmt: skip


def _closing(one: Kept) -> Row:
    events, cost = ("", "") if one.cost is None else (f"{one.events:,}", usd(one.cost))
    told = one.outcome or "it runs, or was cut off"
    return Row((one.subscription, to_the_millisecond(one.instant), one.closed_by, events, cost, brief(told, 300)))


def _lago(one: Statement) -> None:
    """What Lago counts, and what it means where that is not what was sent."""
    terminal.heading("What Lago counts")
    if one.error:
        terminal.say("Lago could not be asked what it counts; all above is as the spend table and the ledger have it.")
        return
    terminal.table(
        ("subscription", "from (UTC)", "to (UTC)?", "sent>", "this customer's>", "Lago counts>", "unit=",
         "what?"),
        map(_counted, one.counted),
    )  # fmt: skip
    asked = {each.subscription for each in one.counted}
    for name in one.subscriptions:
        if name not in asked:
            terminal.say(f"Lago has been sent nothing of the subscription {name} that it counts in this span.")
    if not one.subscriptions:
        terminal.say("Nothing: no event of this customer is in the ledger.")
    differing = {each.why: each.means for each in one.counted if each.why}
    for why, means in differing.items():
        terminal.say(f"- {why}: {means}", terminal.LOOK)
    if one.counted and not differing:
        terminal.say(f"Lago counts exactly what was sent: {_counts(one.counted)}.")
    if any((each.sent_events, each.sent) != (each.own_events, each.own) for each in one.counted):
        terminal.say("Events of other customers or meters go to the same subscription.")


def _counted(one: Counted) -> Row:
    money = usd if one.unit == "USD" else plain
    return Row(
        (one.subscription, moment(one.since), moment(one.until) if one.until else "", money(one.sent),
         money(one.own), money(one.counted), one.unit, one.why or ""),
        terminal.LOOK if one.why else "",
    )  # fmt: skip


def _counts(counted: list[Counted]) -> str:
    return "; ".join(
        f"{count(each.counted_events, 'event')}"
        + ("" if each.unit == "events" else f", {plain(each.counted)} {each.unit}")
        for each in counted
    )


def _row(row: SpendRow) -> Row:
    at = f"{row.started_at:%Y-%m-%d %H:%M:%S}"
    tokens = f"{row.input_tokens:,}", f"{row.output_tokens:,}"
    return Row((row.request_id, at, *tokens, usd(row.cost), "" if row.is_billed else row.verdict))


def _usage(requests: int, input_tokens: int, output_tokens: int) -> str:
    return f"{count(requests, 'row')}, {input_tokens:,} input and {output_tokens:,} output tokens"


def _more(left: Iterator[object], noun: str) -> None:
    if more := sum(1 for _ in left):
        terminal.say(f"{more:,} more {noun}: --limit N shows N, --json all.")
