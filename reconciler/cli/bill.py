"""One pass over all meters: run it, and print what it did. Heavy imports wait until it is asked for."""

import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.cli import terminal
from reconciler.cli.shared import settings_of, warn
from reconciler.model.errors import ReconcileError

if TYPE_CHECKING:
    from reconciler.report.summary import Summary
    from reconciler.settings.meter import MeterSettings


def bill(
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
    """Run one pass, print what it did, and return the exit code.

    Raises:
        ReconcileError: nothing could be done for any meter; programs have got their object all the same.
    """
    from reconciler.cli.show.progress import progress
    from reconciler.cli.show.summary import summary as show_summary
    from reconciler.model.when import when
    from reconciler.passes.run import Pass, Request
    from reconciler.report.log import configure
    from reconciler.report.summary import Summary, exit_code

    configure(verbose=verbose)
    run_id = secrets.token_hex(8)
    meters: tuple[MeterSettings, ...] = ()
    try:
        request = Request(since=when(since), until=when(until), dry_run=dry_run, adopt=adopt)
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
