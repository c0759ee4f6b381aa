"""`reconcile move`: bill to the right subscription what was billed to a wrong one, after it is shown."""

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reconciler.cli import terminal
from reconciler.cli.shared import AsJson, Config, MeterName, given_config, given_meter, plainly, settings_of, warn
from reconciler.model.errors import ReconcileError, UsageError

if TYPE_CHECKING:
    from reconciler.report.move import Found, Made

DECLINED = "Nothing was moved. Add --yes to move it without a question, or --dry-run to only see it."
"""What is said where nobody has agreed."""


def move(
    context: typer.Context,
    customer: Annotated[str, typer.Argument(metavar="CUSTOMER", help="As the spend table's column has it.")],
    to: Annotated[
        str, typer.Option(metavar="SUBSCRIPTION", help="Where it belongs: a subscription's external id in Lago.")
    ],
    since: Annotated[str, typer.Option(metavar="WHEN", help="From here on: a date, a time (UTC) or an age.")],
    until: Annotated[
        str | None, typer.Option(metavar="WHEN", help="Up to here, exclusive; by default all.", show_default=False)
    ] = None,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why; kept in the ledger.")] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would be moved, and write nothing at all.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Move it without asking: for programs.")] = False,
    meter: MeterName = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Move usage that was billed to the wrong subscription to the right one, after showing it.

    What Lago has is taken back there and billed anew, by two events; what it never had goes to the right one at once.
    The next pass sends them.
    """
    with plainly():
        from reconciler.cli.show import move as show
        from reconciler.model.when import when
        from reconciler.passes.moving.move import Move
        from reconciler.report.log import configure

        configure()
        found: Found | None = None
        made: Made | None = None
        work: Move | None = None
        try:
            begin, end = when(since), when(until)
            assert begin is not None
            if not dry_run and not reason.strip():
                raise UsageError("This needs a reason, such as --reason 'acme was mapped to globex by mistake'.")
            settings = settings_of(config or given_config(context), meter or given_meter(context))
            warn(settings)
            work = Move(settings, customer, to)
            try:
                found = work.look(begin, end, dry_run=dry_run)
                if not as_json:
                    show.found(found)
                show.left(found)
                wanted = bool(found.moving) and not dry_run
                if wanted and (yes or _agrees(found, as_json=as_json)):
                    made = work.make(reason)
            finally:
                work.close()
        except ReconcileError as error:
            if as_json:  # a program gets its object whatever happens
                _print_json(found, work.made if work else None, error.exit_code, str(error))
            raise
        declined = wanted and made is None
        code = 1 if declined else 3 if found.staying or found.doubts else 0
        if as_json:
            _print_json(found, made, code, DECLINED if declined else None)
        elif made is not None:
            show.made(made)
        if declined:
            terminal.complain(DECLINED)
        raise typer.Exit(code)


def _agrees(found: "Found", *, as_json: bool) -> bool:
    """Ask the person at the terminal; nobody is there for a program."""
    from reconciler.model.money import plain

    if as_json or not sys.stdin.isatty():
        return False
    return typer.confirm(f"Move these {plain(found.cost)} USD?", err=True)


def _print_json(found: "Found | None", made: "Made | None", code: int, error: str | None = None) -> None:
    """Print the one object."""
    result: dict[str, Any] = found.as_json() if found else {"lines": [], "doubts": [], "warnings": []}
    result |= {
        "planned": made.planned if made else 0,
        "redirected": made.redirected if made else 0,
        "error": error,
        "exit_code": code,
    }
    terminal.json_object(result)
