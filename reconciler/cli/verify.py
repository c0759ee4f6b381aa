"""`reconcile verify`: does Lago count exactly what was used?"""

from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.cli import terminal
from reconciler.cli.shared import AsJson, Config, MeterName, given_config, given_meter, plainly, settings_of
from reconciler.model.errors import ReconcileError

if TYPE_CHECKING:
    from reconciler.verify.report import Report


def verify(
    context: typer.Context,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="WHEN",
            help="Verify all from here on, what was verified before as well: a date, a time (UTC) or an age.",
            show_default=False,
        ),
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="WHEN", help="Verify up to here, exclusive.", show_default=False)
    ] = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Have the next pass send again what Lago does not hold; show conflicts.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what --repair would do, and write nothing at all.")
    ] = False,
    meter: MeterName = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Compare the spend table with the ledger, and the ledger with what Lago holds and counts."""
    with plainly():
        from reconciler.cli.show.verification import drift, verification
        from reconciler.model.when import when
        from reconciler.report.log import configure
        from reconciler.verify.run import Verification

        configure()
        span = when(since), when(until)
        try:
            settings = settings_of(config or given_config(context), meter or given_meter(context))
            reports = Verification(settings).run(*span, repair=repair, dry_run=dry_run)
        except ReconcileError as error:
            if as_json:  # a program gets its object whatever happens
                _print_json([], error.exit_code, error)
            raise
        codes = {report.exit_code for report in reports}
        code = next((code for code in (2, 1, 3) if code in codes), 0)
        if as_json:
            _print_json(reports, code)
        for report in reports:
            if not as_json:
                verification(report)
            drift(report)
        raise typer.Exit(code)


def _print_json(reports: "list[Report]", code: int, error: ReconcileError | None = None) -> None:
    """Print the one object; `error` is what kept it from all meters."""
    meters = [report.as_json() for report in reports]
    terminal.json_object({"meters": meters, "error": str(error) if error else None, "exit_code": code})
