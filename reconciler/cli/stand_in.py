"""`reconcile sandbox` and `reconcile demo`: to try it without a Lago."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from reconciler.cli.shared import plainly
from reconciler.model.errors import ReconcileError, UsageError


def sandbox(
    port: Annotated[int, typer.Option(metavar="PORT", min=0, max=65_535, help="The port; 0 takes a free one.")] = 3000,
    host: Annotated[str, typer.Option(metavar="HOST", help="The address to listen on.")] = "127.0.0.1",
    path: Annotated[
        Path | None,
        typer.Option(
            "--file", metavar="FILE", help="Keep events in this file instead of in memory.", show_default=False
        ),
    ] = None,
    key: Annotated[str | None, typer.Option(metavar="KEY", help="The API key it takes.", show_default=False)] = None,
    batch: Annotated[int, typer.Option(metavar="N", help="The most events it takes in one batch.")] = 100,
    store: Annotated[
        Literal["postgres", "clickhouse"], typer.Option(help="Which of Lago's event stores it has.")
    ] = "postgres",
    deduplication: Annotated[bool, typer.Option(help="On ClickHouse: count only the latest copy of an event.")] = True,
    lag: Annotated[
        float, typer.Option(metavar="SECONDS", min=0, help="On ClickHouse: seconds until an event can be seen.")
    ] = 0.0,
) -> None:
    """Run the stand-in of Lago on this machine."""
    with plainly():
        from reconciler import sandbox as stand_in

        api_key = key or stand_in.DEFAULT_API_KEY

        def ready(url: str) -> None:
            typer.echo(f"LAGO_API_BASE={url}\nLAGO_API_KEY={api_key}")
            sys.stdout.flush()

        try:
            stand_in.serve(
                host,
                port,
                path=path,
                api_key=api_key,
                batch_max_length=batch,
                store=store,
                deduplication=deduplication,
                lag=lag,
                on_ready=ready,
            )
        except stand_in.StoreFileError as error:
            raise UsageError(str(error)) from None
        except (OSError, UnicodeError) as error:  # a host that is none is no text for the resolver
            why = (getattr(error, "strerror", None) or "that is no host").partition(" (while")[0]
            raise ReconcileError(f"Can't listen on {host}:{port}: {why}. Give another --host or --port.") from None


def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Leave both servers up and print the variables to try.")] = False,
) -> None:
    """Play a day of traffic through an embedded Postgres and the stand-in of Lago, outages included."""
    with plainly():
        from reconciler.demo.story import tell

        raise typer.Exit(tell(keep=keep))
