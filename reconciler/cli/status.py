"""`reconcile status`: how each meter stands."""

import typer

from reconciler.cli import terminal
from reconciler.cli.shared import AsJson, Config, MeterName, given_config, given_meter, plainly, settings_of


def status(context: typer.Context, meter: MeterName = None, config: Config = None, as_json: AsJson = False) -> None:
    """Show how far each meter has come, what is on its way and what is stuck."""
    with plainly():
        from reconciler.cli.show.status import status as show_status
        from reconciler.report.status import exit_code, read_status

        settings = settings_of(config or given_config(context), None, require_lago=False)
        statuses = read_status(settings, meter or given_meter(context))
        if as_json:
            terminal.json_object({"meters": [each.as_json() for each in statuses]})
        else:
            for each in statuses:
                show_status(each)
        raise typer.Exit(exit_code(statuses))
