"""`reconcile quarantine`: see the events that Lago refuses for good, send them again, or give them up."""

from typing import Annotated

import typer

from reconciler.cli import terminal
from reconciler.cli.events import discard_events, list_events, show_event
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
from reconciler.model.words import count

app = typer.Typer(cls=ListByDefault, help="Quarantined events: those that Lago refuses for good.")


@app.command("list")
def quarantine_list(
    context: typer.Context,
    limit: Limit = None,
    meter: MeterName = None,
    config: Config = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """List the quarantined events, with Lago's words."""
    with plainly():
        list_events(
            context, "quarantined", meter, config, limit=limit, none="No event is quarantined.",
            name="quarantined",
            command="quarantine", as_json=as_json, as_csv=as_csv,
        )  # fmt: skip


@app.command("show")
def quarantine_show(
    context: typer.Context,
    event_id: Annotated[str, typer.Argument(metavar="ID", help="As `reconcile quarantine` shows it.")],
    meter: MeterName = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Show one quarantined event: what it bills, what was sent, what Lago said."""
    show_event(context, event_id, "quarantined", meter, config, as_json=as_json)


@app.command("retry")
def quarantine_retry(
    context: typer.Context,
    event_ids: EventIds = None,
    everything: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    meter: MeterName = None,
    config: Config = None,
) -> None:
    """Plan quarantined events again, once their cause is mended; the next pass sends the same bytes."""
    with plainly():
        from reconciler.report import decisions

        wanted = which(event_ids, everything=everything, command="quarantine retry")
        settings = settings_of(config or given_config(context), None, require_lago=False)
        done = decisions.retry(settings, wanted, meter or given_meter(context))
        them = "it" if done.events == 1 else "them"
        terminal.say(f"{count(done.events, 'event')} planned again; the next pass sends {them}.")


@app.command("discard")
def quarantine_discard(
    context: typer.Context,
    event_ids: EventIds = None,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why; kept in the ledger.")] = "",
    meter: MeterName = None,
    config: Config = None,
) -> None:
    """Give quarantined events up: they stay in the ledger with the reason, and are never sent."""
    discard_events(context, "quarantined", event_ids, reason, meter, config, command="quarantine discard")
