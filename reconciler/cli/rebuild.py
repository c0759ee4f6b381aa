"""`reconcile rebuild`: make a lost or older ledger whole again from Lago's events."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.cli import terminal
from reconciler.cli.shared import AsJson, Config, MeterName, given_config, given_meter, plainly, settings_of, warn
from reconciler.model.errors import ReconcileError, UsageError

if TYPE_CHECKING:
    from reconciler.verify.rebuild.found import Found

DECLINED = "Nothing was done. Add --yes to do it without a question, or --dry-run to see what it would do."
"""What is said where nobody has agreed."""


def rebuild(
    context: typer.Context,
    since: Annotated[
        str,
        typer.Option(metavar="WHEN", help="Where billing began: a date, a time (UTC) or an age.", show_default=False),
    ],
    codes: Annotated[
        list[str] | None,
        typer.Option("--code", metavar="CODE", help="An event code that the meter had before.", show_default=False),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it would do, and write nothing at all.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do it without asking: for programs.")] = False,
    meter: MeterName = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Make a ledger anew from Lago's events, or take in what a restored one lacks; nothing is sent.

    The next pass then bills what Lago does not hold yet, from --since on.
    """
    with plainly():
        from datetime import UTC, datetime

        from reconciler.cli.show.rebuild import done as show_done
        from reconciler.cli.show.rebuild import failed, odd
        from reconciler.cli.show.rebuild import found as show
        from reconciler.model.when import parse_when
        from reconciler.report.log import configure
        from reconciler.verify.rebuild.run import Rebuild

        configure()
        parse_when(since, datetime.now(UTC))
        if codes and not all(codes):
            raise UsageError("--code needs an event code, such as --code openai_tokens.")
        seen: list[Found] = []
        made: list[Found] = []
        try:
            settings = settings_of(config or given_config(context), meter or given_meter(context))
            warn(settings)
            work = Rebuild(settings, codes or ())
            try:
                seen = work.look(lambda now: parse_when(since, now))
                if not as_json:
                    show(seen, dry_run=dry_run)
                odd(seen)
                lacking = any(each.is_lacking for each in seen)
                agreed = lacking and not dry_run and (yes or _agrees(as_json=as_json))
                for each in work.make() if agreed else ():
                    made.append(each)
                    if not as_json:
                        show_done(each)
                    failed(each)
            finally:
                work.close()
        except ReconcileError as error:
            if as_json:
                _print_json(seen, made, error.exit_code, str(error))
            raise
        declined = lacking and not agreed and not dry_run
        codes_of = {each.exit_code for each in (*seen, *made)} | ({1} if declined else set())
        code = next((code for code in (2, 1, 3) if code in codes_of), 0)
        if as_json:
            _print_json(seen, made, code, DECLINED if declined else None)
        if declined:
            terminal.complain(DECLINED)
        raise typer.Exit(code)


def _agrees(*, as_json: bool) -> bool:
    """Ask the person at the terminal; nobody is there for a program."""
    if as_json or not sys.stdin.isatty():
        return False
    return typer.confirm("Take this into the ledger?", err=True)


def _print_json(seen: "list[Found]", made: "list[Found]", code: int, error: str | None = None) -> None:
    """Print the one object."""
    terminal.json_object(
        {
            "meters": [each.as_json() for each in seen],
            "done": [each.as_json() for each in made],
            "error": error,
            "exit_code": code,
        }
    )
