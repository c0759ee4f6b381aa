"""`reconcile alarm`: list alarms, acknowledge one."""

from typing import Annotated

import typer

from reconciler.cli import terminal
from reconciler.cli.listing import ListByDefault
from reconciler.cli.shared import AsJson, Config, MeterName, given_config, given_meter, plainly, settings_of

app = typer.Typer(cls=ListByDefault, help="Alarms: what a person should look at.")


@app.command("list")
def alarm_list(context: typer.Context, meter: MeterName = None, config: Config = None, as_json: AsJson = False) -> None:
    """List the alarms that stand."""
    with plainly():
        from reconciler.cli.show.alarms import alarms
        from reconciler.report.status import read_alarms

        settings = settings_of(config or given_config(context), None, require_lago=False)
        found = read_alarms(settings, meter or given_meter(context))
        if as_json:
            terminal.json_object({"alarms": found})
        else:
            alarms(found)


@app.command("ack")
def alarm_ack(
    context: typer.Context,
    alarm_id: Annotated[int, typer.Argument(metavar="ID", help="As `reconcile alarm list` shows it.")],
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why it may be quiet; kept in the ledger.")],
    config: Config = None,
) -> None:
    """Acknowledge an alarm: it no longer sets exit code 3, until it grows."""
    with plainly():
        from reconciler.report.status import acknowledge

        settings = settings_of(config or given_config(context), None, require_lago=False)
        terminal.say(acknowledge(settings, alarm_id, reason))
