"""`reconcile close`: bill all that a customer has used up to now, before the plan changes or ends."""

from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.cli import terminal
from reconciler.cli.shared import AsJson, Config, MeterName, given_config, given_meter, plainly, settings_of, warn
from reconciler.model.errors import ReconcileError, UsageError

if TYPE_CHECKING:
    from datetime import timedelta


def close(
    context: typer.Context,
    customer: Annotated[str, typer.Argument(metavar="CUSTOMER", help="As the spend table's column has it.")],
    timeout: Annotated[
        str | None,
        typer.Option(
            metavar="DURATION",
            help="Give up after so long; by default RECONCILE_SETTLE, RECONCILE_LAG and ten minutes.",
            show_default=False,
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what there is to bill now; wait for nothing, write nothing at all.")
    ] = False,
    meter: MeterName = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Bill all that a customer has used up to now, and wait until Lago has it: then change or end the plan.

    It waits for RECONCILE_SETTLE, as usage is written with a delay. What is used after the call is billed in the plan
    that follows. Exit code 0 says that the plan may change now.
    """
    with plainly():
        from reconciler.cli.show.closing import closing as show
        from reconciler.cli.show.closing import trouble
        from reconciler.passes.closing.close import Close
        from reconciler.report.log import configure

        configure()
        try:
            limit = _duration(timeout)
            settings = settings_of(config or given_config(context), meter or given_meter(context))
            warn(settings)
            done = Close(settings, lambda line: terminal.say(line, stderr=True)).run(
                customer, limit=limit, dry_run=dry_run
            )
        except ReconcileError as error:
            if as_json:  # a program gets its object whatever happens
                told = {"error": str(error), "exit_code": error.exit_code}
                terminal.json_object({"customer": customer, "instant": None, "meters": [], **told})
            raise
        if as_json:
            terminal.json_object(done.as_json())
        else:
            show(done)
        trouble(done)
        raise typer.Exit(done.exit_code)


def _duration(text: str | None) -> "timedelta | None":
    from reconciler.settings.values import pause

    try:
        return None if text is None else pause(text)
    except (ValueError, OverflowError) as error:
        raise UsageError(f"--timeout: {error}.") from None
