"""The command line: `reconcile` and its commands. Heavy imports wait until a command needs them."""

import atexit
import gc
import logging
import signal
import sys
from typing import Annotated

import typer

from reconciler import __version__
from reconciler.cli import alarm, customers, events, frozen, held, ledger, outputs, quarantine
from reconciler.cli.bill import bill
from reconciler.cli.close import close
from reconciler.cli.cutover import cutover
from reconciler.cli.doctor import doctor
from reconciler.cli.explain import explain
from reconciler.cli.move import move
from reconciler.cli.rebuild import rebuild
from reconciler.cli.setup import setup
from reconciler.cli.shared import (
    AsJson,
    Config,
    MeterName,
    given_config,
    given_meter,
    plainly,
    settings_of,
    understood,
    warn,
)
from reconciler.cli.stand_in import demo, sandbox
from reconciler.cli.status import status
from reconciler.cli.verify import verify
from reconciler.database import libpq
from reconciler.model.errors import UsageError

app = typer.Typer(
    no_args_is_help=False,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(customers.app, name="customers")
app.add_typer(events.app, name="events")
app.add_typer(quarantine.app, name="quarantine")
app.add_typer(held.app, name="held")
app.add_typer(frozen.app, name="frozen")
app.add_typer(alarm.app, name="alarm")
app.add_typer(ledger.app, name="ledger")
app.command()(status)
app.command()(verify)
app.command()(doctor)
app.command()(setup)
app.command()(rebuild)
app.command()(cutover)
app.command()(explain)
app.command()(move)
app.command()(close)


@app.callback(invoke_without_command=True)
def reconcile(
    context: typer.Context,
    since: Annotated[
        str | None,
        typer.Option(metavar="WHEN", help="Bill from here on: a date, a time (UTC) or an age such as 36h or 7d."),
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="WHEN", help="Backfill up to here, exclusive.")] = None,
    meter: MeterName = None,
    config: Config = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Compare and count; write and send nothing at all.")
    ] = False,
    adopt: Annotated[
        bool, typer.Option("--adopt", help="Declare changed settings: bill by them from the next window on.")
    ] = False,
    as_json: AsJson = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Say also what needs nobody, such as why events go again.")
    ] = False,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Bill what LiteLLM's spend table says through Lago: one pass. Run it from cron, or once to backfill.

    Settings come from the environment: DATABASE_URL, LAGO_API_BASE, LAGO_API_KEY, LAGO_API_EVENT_CODE,
    LAGO_API_CHARGE_BY, and RECONCILE_… (see README).
    """
    if version:
        typer.echo(f"reconcile {__version__}")
        return
    if context.invoked_subcommand is not None:
        if any((since, until, dry_run, adopt, as_json, verbose)):
            with plainly():
                raise UsageError(
                    f"Options of a pass don't go with `{context.invoked_subcommand}`: put that command's own after it."
                )
        context.obj = {"meter": meter, "config": config}
        return
    with plainly():
        request = {"dry_run": dry_run, "adopt": adopt, "as_json": as_json, "verbose": verbose}
        raise typer.Exit(bill(since, until, meter, config, **request))


@app.command()
def serve(context: typer.Context, config: Config = None) -> None:
    """Run a pass every RECONCILE_INTERVAL until SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # until the service is there to end in its own way
    with plainly():
        settings = settings_of(config or given_config(context), given_meter(context))
        from reconciler.service import schedule as service

        warn(settings)
        service.serve(settings)


app.command()(sandbox)
app.command()(demo)


def main() -> None:
    """The console script."""
    # To look through all that is left for cycles, as Python does at its end, takes longer than a pass.
    atexit.register(gc.freeze)
    # What psycopg ignores while an error is on its way, that error tells.
    logging.getLogger("psycopg").setLevel(logging.ERROR)
    libpq.leave_out()
    written = outputs.take_over()
    code: object = 0
    try:
        with plainly():
            understood(sys.argv[1:])
        app(prog_name="reconcile")
    except typer.Exit as ended:
        code = ended.exit_code
    except SystemExit as ended:
        code = ended.code
    sys.exit(outputs.exit_code(code if isinstance(code, int) else int(code is not None), written))
