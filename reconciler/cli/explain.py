"""`reconcile explain`: what one customer is billed, and why."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from reconciler.cli import terminal
from reconciler.cli.shared import (
    FOR_PEOPLE,
    AsJson,
    Config,
    Limit,
    MeterName,
    given_config,
    given_meter,
    one_format,
    plainly,
    settings_of,
)


def explain(
    context: typer.Context,
    customer: Annotated[str, typer.Argument(metavar="CUSTOMER", help="As the spend table's column has it.")],
    since: Annotated[
        str | None,
        typer.Option(metavar="WHEN", help="From here on; by default RECONCILE_HORIZON back.", show_default=False),
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="WHEN", help="Up to here, exclusive; by default now.", show_default=False)
    ] = None,
    event: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Show the spend rows of this event instead.", show_default=False),
    ] = None,
    csv: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the days, or the rows, to a CSV file instead; - is standard output."),
    ] = None,
    limit: Limit = None,
    meter: MeterName = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Explain what one customer is billed: usage by day and model, its events, what Lago counts of them."""
    with plainly():
        from reconciler.capture import bucket_rows
        from reconciler.cli.show import statement as show
        from reconciler.model.errors import UsageError
        from reconciler.model.when import when
        from reconciler.report import bucket
        from reconciler.report import statement as report
        from reconciler.verify.explain import Explanation

        one_format(as_json=as_json, as_csv=csv is not None)
        if event is not None and (since or until):
            raise UsageError("--event is of one window: leave --since and --until out.")
        span = when(since), when(until)
        needs_lago = event is None and csv is None
        settings = settings_of(config or given_config(context), meter or given_meter(context), require_lago=needs_lago)
        shown = limit or FOR_PEOPLE
        if event is not None:
            told = bucket_rows.tell(settings, customer, event)
            if csv is not None:
                _write(csv, bucket.COLUMNS, (each.as_json() for each in told.rows))
            elif as_json:
                terminal.json_streamed(told.as_json())
            else:
                show.event(told, shown)
            return
        found = Explanation(settings).of(customer, *span, lines_only=not needs_lago)
        if csv is not None:
            _write(csv, report.COLUMNS, (line.as_csv() for one in found for line in one.lines))
        elif as_json:
            terminal.json_streamed({"meters": [each.as_json() for each in found]})
        else:
            for one in found:
                show.statement(one, shown)
        if error := next((each.error for each in found if each.error), None):
            raise error


def _write(path: Path, columns: Sequence[str], values: Iterable[Mapping[str, Any]]) -> None:
    """Write CSV to a file, or to standard output.

    Raises:
        ReconcileError: the file can't be written.
    """
    from reconciler.model.errors import ReconcileError

    if path == Path("-"):
        terminal.csv_rows(columns, values)
        return
    try:
        with path.open("w", encoding="utf-8", newline="") as file:
            terminal.csv_rows(columns, values, file)
    except OSError as error:
        raise ReconcileError(f"--csv: {path} can't be written ({error.strerror}): name another file.") from None
    terminal.say(f"Written to {path}.", stderr=True)
