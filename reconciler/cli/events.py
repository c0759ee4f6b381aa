"""`reconcile events`: what is in the ledger, whatever its state; and how any list of events is asked for."""

from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, get_args

import typer

from reconciler.cli import terminal
from reconciler.cli.listing import ListByDefault
from reconciler.cli.shared import (
    FOR_PEOPLE,
    AsCsv,
    AsJson,
    Config,
    Limit,
    MeterName,
    given_config,
    given_meter,
    named,
    one_format,
    plainly,
    settings_of,
)
from reconciler.model.words import count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.ledger.batches import State

app = typer.Typer(cls=ListByDefault, help="Events: what was billed, and what has become of it.")

StateName = Annotated[
    str | None,
    typer.Option("--state", metavar="STATE", help="Only these: planned, accepted, held, quarantined or discarded."),
]
CustomerName = Annotated[str | None, typer.Option("--customer", metavar="ID", help="Only this customer's.")]


@app.command("list")
def events_list(
    context: typer.Context,
    state: StateName = None,
    customer: CustomerName = None,
    limit: Limit = None,
    meter: MeterName = None,
    config: Config = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """List events, the newest window first."""
    from reconciler.ledger.batches import State
    from reconciler.settings.values import choice

    with plainly():
        from reconciler.model.errors import UsageError

        try:
            word = None if state is None else choice(state, get_args(State))
        except ValueError as error:
            raise UsageError(f"--state: {error}.") from None
        chosen: State | None = next((each for each in get_args(State) if each == word), None)
        list_events(
            context, chosen, meter, config, limit=limit, customer=customer, as_json=as_json, as_csv=as_csv,
            none="No such event is in the ledger.",
        )  # fmt: skip


@app.command("show")
def events_show(
    context: typer.Context,
    event_id: Annotated[str, typer.Argument(metavar="ID", help="Its id, or a beginning that no other has.")],
    meter: MeterName = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Show one event: what it bills, what was sent, what Lago said, who decided about it."""
    show_event(context, event_id, None, meter, config, as_json=as_json)


def list_events(
    context: typer.Context,
    state: "State | None",
    meter: str | None,
    config: Path | None,
    *,
    limit: int | None,
    none: str,
    customer: str | None = None,
    name: str = "events",
    command: str = "events",
    as_json: bool,
    as_csv: bool,
) -> None:
    """List events of a state, or of all: for people, or under a name for programs; `command` shows one of them."""
    from reconciler.cli.show import events as show
    from reconciler.report import events as report

    one_format(as_json=as_json, as_csv=as_csv)
    settings = settings_of(config or given_config(context), None, require_lago=False)
    found = report.read(settings, meter or given_meter(context), state=state, customer=customer)
    if as_json:
        terminal.json_list(name, (each.as_json() for each in islice(found, limit)))
    elif as_csv:
        terminal.csv_rows(report.COLUMNS, (each.as_json() for each in islice(found, limit)))
    else:
        show.events(found, limit or FOR_PEOPLE, none=none, more=f"reconcile {command} show ID")


def show_event(
    context: typer.Context,
    event_id: str,
    state: "State | None",
    meter: str | None,
    config: Path | None,
    *,
    as_json: bool,
) -> None:
    """Show one event of a state, or of any."""
    with plainly():
        from reconciler.cli.show import events as show
        from reconciler.report import events as report

        settings = settings_of(config or given_config(context), None, require_lago=False)
        event = report.find(settings, event_id, meter or given_meter(context), state=state)
        if as_json:
            terminal.json_object(event.as_json())
        else:
            show.event(event)


def discard_events(
    context: typer.Context,
    state: Literal["held", "quarantined"],
    event_ids: "Sequence[str] | None",
    reason: str,
    meter: str | None,
    config: Path | None,
    *,
    command: str,
) -> None:
    """Give events of a state up; `command` is how that is asked for."""
    with plainly():
        from reconciler.report import decisions

        wanted = named(event_ids, command=command)
        settings = settings_of(config or given_config(context), None, require_lago=False)
        done = decisions.discard(settings, state, wanted, reason, meter or given_meter(context))
        terminal.say(f"{count(done.events, 'event')} discarded: {reason.strip()}")
