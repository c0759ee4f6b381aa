"""`reconcile held`: see the events that wait for a decision, have them billed, or give them up."""

from typing import Annotated

import typer

from reconciler.cli import terminal
from reconciler.cli.events import discard_events, list_events
from reconciler.cli.listing import ListByDefault
from reconciler.cli.shared import (
    AsCsv,
    AsJson,
    Config,
    EventIds,
    Limit,
    MeterName,
    given_config,
    given_meter,
    plainly,
    settings_of,
    which,
)
from reconciler.model.visible import brief
from reconciler.model.words import count

app = typer.Typer(cls=ListByDefault, help="Held events: those that wait for a decision.")


@app.command("list")
def held_list(
    context: typer.Context,
    limit: Limit = None,
    meter: MeterName = None,
    config: Config = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """List the held events, and why each is held."""
    with plainly():
        list_events(
            context,
            "held",
            meter,
            config,
            limit=limit,
            none="No event is held.",
            name="held",
            as_json=as_json,
            as_csv=as_csv,
        )


@app.command("release")
def held_release(
    context: typer.Context,
    event_ids: EventIds = None,
    everything: Annotated[bool, typer.Option("--all", help="All that are held for a closed period.")] = False,
    move: Annotated[
        bool, typer.Option("--move", help="Bill them in the present period: they get its first moment.")
    ] = False,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why; kept in the ledger.")] = "",
    meter: MeterName = None,
    config: Config = None,
) -> None:
    """Send held events with the next pass: as they are, or moved to the present period."""
    with plainly():
        from reconciler.report import decisions

        wanted = which(event_ids, everything=everything, command="held release")
        settings = settings_of(config or given_config(context), None, require_lago=move)
        only = meter or given_meter(context)
        if not move:
            done = decisions.release(settings, wanted, reason.strip() or "sent all the same", only)
            goes = "goes with the next pass as it is" if done.events == 1 else "go with the next pass as they are"
            terminal.say(f"{count(done.events, 'event')} {goes}: Lago bills of it what its invoices still take.")
            return
        from reconciler.delivery.moving import move as move_to_present

        apart = decisions.set_apart(settings, wanted, only)
        moved = move_to_present(
            settings, apart.batches, decisions.person(), reason.strip() or "moved to the present period"
        )
        them = "it" if moved.events == 1 else "them"
        terminal.say(f"{count(moved.events, 'event')} moved to the present period; the next pass sends {them}.")
        if stay := apart.events - moved.events:
            named = ", ".join(brief(name, 100) for name in sorted(moved.left)[:5])
            whose = f" ({count(len(moved.left), 'subscription')} without a present period: {named})" if named else ""
            terminal.say(f"{count(stay, 'event')} {'stays' if stay == 1 else 'stay'} held{whose}.", terminal.LOOK)


@app.command("discard")
def held_discard(
    context: typer.Context,
    event_ids: EventIds = None,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why; kept in the ledger.")] = "",
    meter: MeterName = None,
    config: Config = None,
) -> None:
    """Give held events up: they stay in the ledger with the reason, and are never sent."""
    discard_events(context, "held", event_ids, reason, meter, config, command="held discard")
