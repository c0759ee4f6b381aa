"""`reconcile doctor`: is everything as billing needs it?"""

import typer

from reconciler.cli import terminal
from reconciler.cli.shared import AsJson, Config, MeterName, given_config, given_meter, plainly, settings_of
from reconciler.model.errors import SettingsError


def doctor(context: typer.Context, meter: MeterName = None, config: Config = None, as_json: AsJson = False) -> None:
    """Check settings, spend table, ledger and Lago, and say what to mend. Nothing is written anywhere.

    Exit code 1: something keeps usage from being billed once; 3: a person should look; 0: all is well.
    """
    with plainly():
        from reconciler.cli.show.doctor import page
        from reconciler.report.log import configure
        from reconciler.verify.doctor.run import examine, of_unusable

        configure()
        told = config or given_config(context), meter or given_meter(context)
        try:
            found = examine(settings_of(*told))
        except SettingsError as error:
            try:  # without Lago's settings the databases can be looked at
                found = examine(settings_of(*told, require_lago=False), error)
            except SettingsError:
                found = of_unusable(error)
        if as_json:
            terminal.json_object(found.as_json())
        else:
            page(found)
        raise typer.Exit(found.exit_code)
