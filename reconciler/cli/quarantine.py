"""`reconcile quarantine`: see the events that Lago refuses for good, send them again, or give them up."""

from pathlib import Path
from typing import Annotated

import typer

from reconciler.cli import terminal
from reconciler.cli.shared import AsJson, Config, MeterName, given_config, given_meter, plainly, settings_of
from reconciler.model.words import count

app = typer.Typer(help="Quarantined events: those that Lago refuses for good.", no_args_is_help=False)

EventIds = Annotated[
    list[str] | None,
    typer.Argument(metavar="ID…", help="As `reconcile quarantine` shows them; a unique beginning is enough."),
]


@app.callback(invoke_without_command=True)
def quarantine(context: typer.Context, meter: MeterName = None, config: Config = None, as_json: AsJson = False) -> None:
    """List quarantined events, show one, send some again or discard them."""
    if context.invoked_subcommand is None:
        _list(context, meter, config, as_json=as_json)


@app.command("list")
def quarantine_list(
    context: typer.Context, meter: MeterName = None, config: Config = None, as_json: AsJson = False
) -> None:
    """List the quarantined events, with Lago's words."""
    _list(context, meter, config, as_json=as_json)


@app.command("show")
def quarantine_show(
    context: typer.Context,
    event_id: Annotated[str, typer.Argument(metavar="ID", help="As `reconcile quarantine` shows it.")],
    meter: MeterName = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Show one quarantined event: what it bills, what was sent, what Lago said."""
    with plainly():
        from reconciler.cli.show import events as show
        from reconciler.report import quarantine as work

        settings = settings_of(config or given_config(context), None, require_lago=False)
        event = work.find(settings, event_id, meter or given_meter(context))
        if as_json:
            terminal.json_object(event.as_json())
        else:
            show.quarantined_event(event)


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
        from reconciler.model.errors import UsageError
        from reconciler.report import quarantine as work

        if everything == bool(event_ids):
            raise UsageError("Say which: `reconcile quarantine retry ID…`, or `--all`.")
        settings = settings_of(config or given_config(context), None, require_lago=False)
        done = work.retry(settings, event_ids or None, meter or given_meter(context))
        terminal.say(
            f"{count(len(done), 'event')} planned again; the next pass sends {'it' if len(done) == 1 else 'them'}."
        )


@app.command("discard")
def quarantine_discard(
    context: typer.Context,
    event_ids: EventIds = None,
    reason: Annotated[str, typer.Option(help="Why; kept in the ledger.")] = "",
    meter: MeterName = None,
    config: Config = None,
) -> None:
    """Give quarantined events up: they stay in the ledger with the reason, and are never sent."""
    with plainly():
        from reconciler.model.errors import UsageError
        from reconciler.report import quarantine as work

        if not event_ids:
            raise UsageError("Say which: `reconcile quarantine discard ID… --reason TEXT`.")
        settings = settings_of(config or given_config(context), None, require_lago=False)
        done = work.discard(settings, event_ids, reason, meter or given_meter(context))
        terminal.say(f"{count(len(done), 'event')} discarded: {reason.strip()}")


def _list(context: typer.Context, meter: str | None, config: Path | None, *, as_json: bool) -> None:
    with plainly():
        from reconciler.cli.show import events as show
        from reconciler.report import quarantine as work

        settings = settings_of(config or given_config(context), None, require_lago=False)
        found = work.read(settings, meter or given_meter(context))
        if as_json:
            terminal.json_list("quarantined", (event.as_json() for event in found))
        else:
            show.quarantine(found)
