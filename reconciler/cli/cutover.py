"""`reconcile cutover`: take over from LiteLLM's own callback what it has billed, and bill only what it missed."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.cli import terminal
from reconciler.cli.shared import AsJson, Config, MeterName, given_config, given_meter, plainly, settings_of, warn
from reconciler.model.errors import ReconcileError

if TYPE_CHECKING:
    from reconciler.verify.cutover.found import Found

DECLINED = "Nothing was recorded. Add --yes to record it without a question, or --dry-run only to look."
"""What is said where nobody has agreed."""


def cutover(
    context: typer.Context,
    at: Annotated[
        str,
        typer.Option(
            metavar="WHEN", help="The instant from which on the callback is off, on a window's edge: a time (UTC)."
        ),
    ],
    since: Annotated[
        str | None,
        typer.Option(
            metavar="WHEN", help="Take over from this window on; by default two hours before --at.", show_default=False
        ),
    ] = None,
    code: Annotated[
        str | None,
        typer.Option(metavar="CODE", help="The callback's event code, if it is not the meter's.", show_default=False),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be taken over, and write nothing at all.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Record it without asking: for programs.")] = False,
    meter: MeterName = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Match what LiteLLM's own lago callback has billed with the spend table, and count it as billed.

    What the callback missed stays to be billed: `reconcile --since` bills it. Nothing is sent to Lago here.
    """
    with plainly():
        from datetime import UTC, datetime

        from reconciler.cli.show import cutover as show
        from reconciler.model.when import parse_when
        from reconciler.report.log import configure
        from reconciler.verify.cutover.run import Cutover

        configure()
        for when in filter(None, (at, since)):
            parse_when(when, datetime.now(UTC))
        try:
            settings = settings_of(config or given_config(context), meter or given_meter(context))
            warn(settings)
            work = Cutover(settings, code=code)
            span = (
                lambda now: parse_when(at, now),
                (lambda now: parse_when(since, now)) if since is not None else None,
            )
            declined = False
            try:
                found = work.run(*span, record=yes, dry_run=dry_run)
                if not as_json:
                    show.found(found)
                if found.is_new and not (dry_run or yes):
                    declined = as_json or not _agrees(found)
                    found = found if declined else work.run(*span, record=True)
            finally:
                work.close()
        except ReconcileError as error:
            if as_json:
                terminal.json_object({"meters": [], "error": str(error), "exit_code": error.exit_code})
            raise
        exit_code = 1 if declined else 3 if found.needs_a_look else 0
        if as_json:
            said = DECLINED if declined else None
            terminal.json_object({"meters": [found.as_json()], "error": said, "exit_code": exit_code})
        elif not declined:
            show.ended(found, dry_run=dry_run)
        show.look(found)
        if declined:
            terminal.complain(DECLINED)
        raise typer.Exit(exit_code)


def _agrees(found: "Found") -> bool:
    """Ask the person at the terminal; nobody is there for a program."""
    if not sys.stdin.isatty():
        return False
    number = found.requests("taken over")
    what = "this request" if number == 1 else f"these {number:,} requests"
    return typer.confirm(f"Take over {what}?" if number else "Put on record that nothing is taken over?", err=True)
