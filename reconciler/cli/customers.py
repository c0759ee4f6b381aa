"""`reconcile customers`: who was billed how much, and whose usage can't be billed."""

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import Annotated

import typer

from reconciler.cli import terminal
from reconciler.cli.listing import ListByDefault
from reconciler.cli.shared import (
    FOR_PEOPLE,
    AsCsv,
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

app = typer.Typer(cls=ListByDefault, help="Customers: who was billed how much, and who can't be billed.")

Unmapped = Annotated[bool, typer.Option("--unmapped", help="Only those that RECONCILE_MAPPING lacks.")]
Unsubscribed = Annotated[bool, typer.Option("--unsubscribed", help="Only those without a subscription in Lago.")]
Unattributed = Annotated[bool, typer.Option("--unattributed", help="Usage without a customer, by day and model.")]
Since = Annotated[
    str | None,
    typer.Option("--since", metavar="WHEN", help="From here on; by default RECONCILE_HORIZON back."),
]


@app.command("list")
def customers_list(
    context: typer.Context,
    unmapped: Unmapped = False,
    unsubscribed: Unsubscribed = False,
    unattributed: Unattributed = False,
    since: Since = None,
    limit: Limit = None,
    meter: MeterName = None,
    config: Config = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """List customers and what they were billed, those with the most USD first."""
    with plainly():
        from reconciler.cli.show.customers import lines
        from reconciler.model.errors import UsageError
        from reconciler.model.terms import BEGINNING
        from reconciler.model.when import parse_when
        from reconciler.report import customers as report

        one_format(as_json=as_json, as_csv=as_csv)
        if unmapped + unsubscribed + unattributed > 1:
            raise UsageError("--unmapped, --unsubscribed and --unattributed are three lists: choose one.")
        only, now = meter or given_meter(context), datetime.now(UTC)
        of_source = unattributed or unmapped
        settings = settings_of(config or given_config(context), only if of_source else None, require_lago=False)
        # What is unmapped stays so, however old it is.
        begin = parse_when(since, now) if since else BEGINNING if unmapped else now - settings.horizon
        shown = limit or FOR_PEOPLE
        most = limit if as_json or as_csv else shown + 1  # one more tells that there are more

        kind: type[report.Line] = report.Customer
        found: Iterator[report.Line]
        if of_source:
            from reconciler.capture.unbilled import Unbilled

            unbilled = Unbilled(settings)
            kind = report.Unattributed if unattributed else report.Unmapped
            found = islice(unbilled.unattributed(begin) if unattributed else unbilled.unmapped(begin), most)
        else:
            found = report.customers(settings, only, begin, unsubscribed=unsubscribed, limit=most)

        if as_json:
            terminal.json_list("customers", (each.as_json() for each in found))
        elif as_csv:
            terminal.csv_rows(kind.columns(), (each.as_json() for each in found))
        else:
            lines(kind, found, shown, begin)
