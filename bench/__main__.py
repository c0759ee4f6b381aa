"""`python -m bench [PART]…`: hold passes against what they could cost at least, show tables, write docs/benchmarks.md.

A benchmark, not a test: a missed target is marked and does not set the exit code.
"""

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, get_args

import typer
from rich.console import Console

from bench import report
from bench.callback import side_by_side
from bench.figures import FIGURES, NEW, measure
from bench.ground import SERVER
from bench.senders import crews
from bench.volume import Kind
from reconciler.demo.postgres import EmbeddedPostgres

TOP = Path(__file__).parent.parent
DATA = TOP / ".bench"
PAGE = TOP / "docs" / "benchmarks.md"
ROWS = 2_000_000
PARTS = (*FIGURES, "senders", "callback")
WIDTH = 110


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    parts: Annotated[
        list[str] | None,
        typer.Argument(metavar="PART", help=f"Only these: {', '.join(PARTS)}.", show_default=False),
    ] = None,
    *,
    rows: Annotated[int, typer.Option(min=2000, help="Rows of the large tables.")] = ROWS,
    runs: Annotated[int, typer.Option(min=1, help="Runs of each side.")] = 3,
    kind: Annotated[Kind | None, typer.Option(help="Only this traffic.", show_default=False)] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the filled databases in .bench/.")] = False,
) -> None:
    """Measure; a whole run writes docs/benchmarks.md."""
    console = Console()
    console.width = max(console.width, WIDTH)
    chosen = parts or PARTS
    if unknown := set(chosen) - set(PARTS):
        raise typer.BadParameter(f"{', '.join(sorted(unknown))}: not one of {', '.join(PARTS)}", param_hint="PART")
    kinds = (kind,) if kind else get_args(Kind)
    try:
        with EmbeddedPostgres(DATA, settings=SERVER) as server, console.status("starting") as status:
            circumstances = {
                "Date": f"{datetime.now(UTC):%Y-%m-%d}",
                **report.machine(),
                "Postgres": f"{server.version}; " + ", ".join(f"{name} = {value}" for name, value in SERVER.items()),
                "Rows": f"{rows:,}; {runs} runs of the long looks, more of the short ones",
            }
            figures, crew, sides = [], [], []
            for figure in measure(server, rows=rows, runs=runs, kinds=kinds, parts=chosen, doing=status.update):
                figures.append(figure)
                console.log(f"{figure.traffic:6} {figure.what}: {figure.value:.2f}")
            for each in crews(server, rows, status.update) if "senders" in chosen else ():
                crew.append(each)
                console.log(f"{each.passes} at once, limit {each.limit}: {each.ratio:.2f}")
            for side in side_by_side(server, rows // NEW, status.update) if "callback" in chosen else ():
                sides.append(side)
                console.log(f"{side.who}, {side.faults} faults: {side.lost.requests} requests lost")
    finally:
        if not keep:
            shutil.rmtree(DATA, ignore_errors=True)
    if figures:
        console.print(report.table(figures, f"{rows:,} rows, medians of {runs} runs, of the short ones more"))
    if crew:
        console.print(report.crew_table(crew, "Passes that begin at once on one backlog"))
    if sides:
        console.print(report.side_table(sides, f"LiteLLM's own callback beside a pass, {rows // NEW:,} spend rows"))
    for what, value in circumstances.items():
        console.print(f"[dim]{what}: {value}[/]", highlight=False)
    if rows == ROWS and not parts and kind is None:
        PAGE.write_text(report.page(figures, crew, sides, circumstances, rows=rows))
        console.print(f"Written to {PAGE.relative_to(TOP)}.")


if __name__ == "__main__":
    app()
