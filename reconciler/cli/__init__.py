"""The command line: `reconcile` and its commands. Heavy imports wait until a command needs them."""

import logging
import secrets
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from reconciler import __version__
from reconciler.cli import alarm, customers, events, frozen, held, ledger, outputs, quarantine, terminal
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
from reconciler.cli.verify import verify
from reconciler.database import libpq
from reconciler.model.errors import ReconcileError, UsageError

if TYPE_CHECKING:
    from reconciler.report.summary import Summary
    from reconciler.settings.meter import MeterSettings

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
app.command()(verify)


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
        raise typer.Exit(_pass(since, until, meter, config, **request))


def _pass(
    since: str | None,
    until: str | None,
    meter: str | None,
    config: Path | None,
    *,
    dry_run: bool,
    adopt: bool,
    as_json: bool,
    verbose: bool,
) -> int:
    from datetime import UTC, datetime

    from reconciler.cli.show.progress import progress
    from reconciler.cli.show.summary import summary as show_summary
    from reconciler.model.when import parse_when
    from reconciler.passes.run import Pass, Request
    from reconciler.report.log import configure
    from reconciler.report.summary import Summary, exit_code

    request = Request(
        since=(lambda now: parse_when(since, now)) if since is not None else None,
        until=(lambda now: parse_when(until, now)) if until is not None else None,
        dry_run=dry_run,
        adopt=adopt,
    )
    configure(verbose=verbose)
    run_id = secrets.token_hex(8)
    meters: tuple[MeterSettings, ...] = ()
    try:
        for when in (since, until):
            if when is not None:
                parse_when(when, datetime.now(UTC))  # nonsense is told before anything is asked of a database
        settings = settings_of(config, meter)
        meters = settings.meters
        warn(settings)
        with progress(backfilling=since is not None) as shown:
            summaries = Pass(settings).run(request, shown, run_id=run_id)
    except ReconcileError as error:
        if as_json:  # a program gets its object whatever happens
            _print_json(run_id, [Summary(each.name, run_id, error=error) for each in meters], error)
        raise
    if as_json:
        _print_json(run_id, summaries)
    for summary in summaries:
        show_summary(summary, to_stderr=as_json)
    return exit_code(summaries)


def _print_json(run_id: str, summaries: "Sequence[Summary]", error: ReconcileError | None = None) -> None:
    """Print a pass's one object; `error` is what kept it from all meters."""
    meters = [summary.as_json() for summary in summaries]
    terminal.json_object({"run_id": run_id, "error": str(error) if error else None, "meters": meters})


@app.command()
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


@app.command()
def serve(context: typer.Context, config: Config = None) -> None:
    """Run a pass every RECONCILE_INTERVAL until SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # until the service is there to end in its own way
    with plainly():
        settings = settings_of(config or given_config(context), given_meter(context))
        from reconciler.service import schedule as service

        warn(settings)
        service.serve(settings)


@app.command()
def sandbox(
    port: Annotated[int, typer.Option(metavar="PORT", min=0, max=65_535, help="The port; 0 takes a free one.")] = 3000,
    host: Annotated[str, typer.Option(metavar="HOST", help="The address to listen on.")] = "127.0.0.1",
    path: Annotated[
        Path | None,
        typer.Option(
            "--file", metavar="FILE", help="Keep events in this file instead of in memory.", show_default=False
        ),
    ] = None,
    key: Annotated[str | None, typer.Option(metavar="KEY", help="The API key it takes.", show_default=False)] = None,
    batch: Annotated[int, typer.Option(metavar="N", help="The most events it takes in one batch.")] = 100,
    store: Annotated[
        Literal["postgres", "clickhouse"], typer.Option(help="Which of Lago's event stores it has.")
    ] = "postgres",
    deduplication: Annotated[bool, typer.Option(help="On ClickHouse: count only the latest copy of an event.")] = True,
    lag: Annotated[
        float, typer.Option(metavar="SECONDS", min=0, help="On ClickHouse: seconds until an event can be seen.")
    ] = 0.0,
) -> None:
    """Run the stand-in of Lago on this machine."""
    with plainly():
        from reconciler import sandbox as stand_in

        api_key = key or stand_in.DEFAULT_API_KEY

        def ready(url: str) -> None:
            typer.echo(f"LAGO_API_BASE={url}\nLAGO_API_KEY={api_key}")
            sys.stdout.flush()

        try:
            stand_in.serve(
                host,
                port,
                path=path,
                api_key=api_key,
                batch_max_length=batch,
                store=store,
                deduplication=deduplication,
                lag=lag,
                on_ready=ready,
            )
        except stand_in.StoreFileError as error:
            raise UsageError(str(error)) from None
        except (OSError, UnicodeError) as error:  # a host that is none is no text for the resolver
            why = (getattr(error, "strerror", None) or "that is no host").partition(" (while")[0]
            raise ReconcileError(f"Can't listen on {host}:{port}: {why}. Give another --host or --port.") from None


@app.command()
def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Leave both servers up and print the variables to try.")] = False,
) -> None:
    """Play a day of traffic through an embedded Postgres and the stand-in of Lago, outages included."""
    with plainly():
        from reconciler.demo.story import tell

        raise typer.Exit(tell(keep=keep))


def main() -> None:
    """The console script."""
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
