"""`reconcile ledger`: make or upgrade the reconciler's own schema."""

from typing import Annotated

import typer

from reconciler.cli.shared import Config, given_config, plainly, settings_of

app = typer.Typer(help="The ledger: the reconciler's own schema.", no_args_is_help=True)


@app.command("upgrade")
def ledger_upgrade(
    context: typer.Context,
    config: Config = None,
    sql: Annotated[bool, typer.Option("--sql", help="Print the DDL for a DBA and connect to nothing.")] = False,
    since: Annotated[
        str | None,
        typer.Option("--from", metavar="VERSION", help="With --sql: print only the way from this version of a ledger."),
    ] = None,
) -> None:
    """Make or upgrade the ledger's schema; the first pass does it by itself."""
    with plainly():
        from reconciler.ledger import schema
        from reconciler.ledger.store import open_ledger
        from reconciler.model.errors import UsageError

        if sql:
            typer.echo(schema.ddl(since), nl=False)
            return
        if since is not None:
            raise UsageError("--from only says what --sql prints: add --sql, or leave --from out.")
        settings = settings_of(config or given_config(context), None, require_lago=False)
        done = open_ledger(settings).upgrade()
        typer.echo(f"The ledger is {'now' if done else 'already'} at version {schema.HEAD}.")
