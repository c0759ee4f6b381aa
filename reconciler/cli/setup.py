"""`reconcile setup`: make what Lago needs, after it is shown."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.cli import terminal
from reconciler.cli.shared import AsJson, Config, MeterName, given_config, given_meter, plainly, settings_of, warn
from reconciler.model.errors import ReconcileError

if TYPE_CHECKING:
    from reconciler.verify.setup.run import Found

DECLINED = "Nothing was made. Add --yes to make it without a question, or --dry-run to see the calls."
"""What is said where nobody has agreed."""


def setup(
    context: typer.Context,
    plan: Annotated[str, typer.Option(metavar="CODE", help="The plan's code.")] = "llm",
    sums: Annotated[
        list[str] | None,
        typer.Option(
            "--sum",
            metavar="[METER=]PROPERTY",
            help="What a metric counts: response_cost, or input_tokens and such.",
            show_default="response_cost",
        ),
    ] = None,
    markup: Annotated[
        str | None, typer.Option(metavar="PERCENT", help="Charge so much more than the cost.", show_default=False)
    ] = None,
    prices: Annotated[
        list[str] | None,
        typer.Option("--price", metavar="[METER=]USD", help="What a million tokens cost.", show_default=False),
    ] = None,
    by_model: Annotated[
        bool, typer.Option("--by-model/--together", help="A line of the invoice for each model, or one for all.")
    ] = True,
    customers: Annotated[
        bool, typer.Option("--customers", help="Subscribe also the customers that the spend table names.")
    ] = False,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="WHEN", help="With --customers: those seen from here on; by default RECONCILE_HORIZON back."
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the calls of Lago's API, and write nothing at all.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Make it without asking: for programs.")] = False,
    meter: MeterName = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Make the metrics and the plan that Lago needs, and with --customers subscriptions, after showing them.

    What is there stays as it is: nothing is changed or deleted. The API key has to read and write billable metrics and
    plans, and with --customers customers and subscriptions; and to read the organization.
    """
    with plainly():
        from reconciler.cli.show.setup import found as show
        from reconciler.cli.show.setup import unfit
        from reconciler.model.when import when
        from reconciler.report.log import configure
        from reconciler.verify.setup.offer import offer
        from reconciler.verify.setup.run import Setup

        configure()
        results: list[str | None] = []  # of each call; a sentence if Lago has refused it
        try:
            seen_since = when(since)
            settings = settings_of(config or given_config(context), meter or given_meter(context))
            warn(settings)
            wanted = offer(
                settings.meters, plan=plan, sums=sums or (), prices=prices or (), markup=markup, by_model=by_model
            )
            work = Setup(settings, wanted)
            try:
                seen = work.look(customers=customers, since=seen_since)
                if not as_json:
                    show(seen, settings.lago_api_base, dry_run=dry_run)
                agreed = not dry_run and bool(seen.calls) and (yes or _agrees(seen, as_json=as_json))
                for result in work.make(seen) if agreed else ():
                    results.append(result)  # noqa: PERF402 -- what was made counts also if the next one fails
            finally:
                work.close()
        except ReconcileError as error:
            if as_json:
                _print_json(None, results, error.exit_code, str(error))
            elif results:
                terminal.say(f"Made: {results.count(None)}.")
            raise
        refused = [result for result in results if result is not None]
        declined = bool(seen.calls) and not agreed and not dry_run
        code = 1 if declined else 3 if seen.unfit or refused else 0
        if as_json:
            _print_json(seen, results, code, DECLINED if declined else None)
        elif agreed:
            terminal.say(f"Made: {results.count(None)} of {len(seen.calls)}.")
        unfit([*seen.unfit, *refused])
        if declined:
            terminal.complain(DECLINED)
        raise typer.Exit(code)


def _agrees(seen: "Found", *, as_json: bool) -> bool:
    """Ask the person at the terminal; nobody is there for a program."""
    if as_json or not sys.stdin.isatty():
        return False
    return typer.confirm(f"Make {'this' if len(seen.calls) == 1 else f'these {len(seen.calls)}'}?", err=True)


def _print_json(seen: "Found | None", results: list[str | None], code: int, error: str | None = None) -> None:
    """Print the one object."""
    terminal.json_object(
        {
            "calls": [call.as_json() for call in seen.calls] if seen else [],
            "made": results.count(None),
            "unfit": seen.unfit if seen else [],
            "refused": [result for result in results if result is not None],
            "never_billed": [each.as_json() for each in seen.unbilled] if seen else [],
            "error": error,
            "exit_code": code,
        }
    )
