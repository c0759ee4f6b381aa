"""`reconcile frozen`: see where the source holds less than was billed, and record what was credited in Lago."""

from typing import Annotated

import typer

from reconciler.cli import terminal
from reconciler.cli.listing import ListByDefault
from reconciler.cli.shared import (
    AsCsv,
    AsJson,
    Config,
    EventIds,
    MeterName,
    given_config,
    given_meter,
    named,
    one_format,
    plainly,
    settings_of,
)

app = typer.Typer(cls=ListByDefault, help="Frozen buckets: those that hold less than was billed.")


@app.command("list")
def frozen_list(
    context: typer.Context,
    meter: MeterName = None,
    config: Config = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """List the frozen buckets as they are now, and the credits on record."""
    with plainly():
        from reconciler.cli.show import frozen as show
        from reconciler.passes import frozen as work
        from reconciler.report import frozen as report

        one_format(as_json=as_json, as_csv=as_csv)
        settings = settings_of(config or given_config(context), meter or given_meter(context), require_lago=False)
        found = work.read(settings)
        if as_json:
            terminal.json_object(
                {
                    "frozen": [report.frozen_bucket(bucket) for bucket in found.frozen],
                    "credits": [report.credit(each) for each in found.credits],
                }
            )
        elif as_csv:
            terminal.csv_rows(report.COLUMNS, (report.frozen_bucket(bucket) for bucket in found.frozen))
        else:
            show.found(found)


@app.command("accept")
def frozen_accept(
    context: typer.Context,
    ids: EventIds = None,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why; kept in the ledger.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be put on record.")] = False,
    meter: MeterName = None,
    config: Config = None,
) -> None:
    """Record that you have credited in Lago what the list shows of these buckets: they start from where they are."""
    with plainly():
        from reconciler.cli.show import frozen as show
        from reconciler.passes import frozen as work

        wanted = named(ids, command="frozen accept")
        settings = settings_of(config or given_config(context), meter or given_meter(context), require_lago=False)
        show.accepted(work.accept(settings, wanted, reason, dry_run=dry_run), dry_run=dry_run)


@app.command("undo")
def frozen_undo(
    context: typer.Context,
    ids: EventIds = None,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why; kept in the ledger.")] = "",
    meter: MeterName = None,
    config: Config = None,
) -> None:
    """Let credits no longer count; they stay on record."""
    with plainly():
        from reconciler.cli.show import frozen as show
        from reconciler.passes import frozen as work

        wanted = named(ids, command="frozen undo")
        settings = settings_of(config or given_config(context), meter or given_meter(context), require_lago=False)
        show.undone(work.undo(settings, wanted, reason))
