"""`python -m bench`: hold passes against what the database itself needs, show a table, write docs/benchmarks.md.

A benchmark, not a test: a missed target is marked and does not set the exit code.
"""

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bench import report
from bench.figures import PARTS, measure
from bench.ground import SERVER
from bench.volume import SHAPES, Kind
from reconciler.demo.postgres import EmbeddedPostgres

TOP = Path(__file__).parent.parent
DATA = TOP / ".bench"
PAGE = TOP / "docs" / "benchmarks.md"
ROWS = 2_000_000


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    *,
    rows: Annotated[int, typer.Option(min=2000, help="Rows of the large tables.")] = ROWS,
    runs: Annotated[int, typer.Option(min=1, help="Runs of each side.")] = 3,
    only: Annotated[
        str | None, typer.Option(metavar="FIGURES", help=f"Only these, such as first,deep: {', '.join(PARTS)}.")
    ] = None,
    kind: Annotated[Kind | None, typer.Option(help="Only this traffic.", show_default=False)] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the filled databases in .bench/.")] = False,
) -> None:
    """Measure; a whole run writes docs/benchmarks.md."""
    console = Console()
    parts = only.split(",") if only else PARTS
    if unknown := set(parts) - set(PARTS):
        raise typer.BadParameter(f"{', '.join(sorted(unknown))}: not one of {', '.join(PARTS)}", param_hint="--only")
    kinds = (kind,) if kind else tuple(SHAPES)
    try:
        with EmbeddedPostgres(DATA, settings=SERVER) as server, console.status("starting") as status:
            circumstances = {
                "Date": f"{datetime.now(UTC):%Y-%m-%d}",
                **report.machine(),
                "Postgres": f"{server.version}; " + ", ".join(f"{name} = {value}" for name, value in SERVER.items()),
                "Rows": f"{rows:,}; {runs} runs of the long looks, more of the short ones",
            }
            figures = []
            for figure in measure(server, rows=rows, runs=runs, kinds=kinds, parts=parts, doing=status.update):
                figures.append(figure)
                console.log(f"{figure.traffic:6} {figure.what}: {figure.value:.2f}")
    finally:
        if not keep:
            shutil.rmtree(DATA, ignore_errors=True)
    console.print(report.table(figures, f"{rows:,} rows, medians of {runs} runs, of the short ones more"))
    for what, value in circumstances.items():
        console.print(f"[dim]{what}: {value}[/]", highlight=False)
    if rows == ROWS and only is None and kind is None:
        PAGE.write_text(report.page(figures, circumstances, rows=rows))
        console.print(f"Written to {PAGE.relative_to(TOP)}.")


if __name__ == "__main__":
    app()
