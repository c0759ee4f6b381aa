"""What the commands share: options, settings, and errors that reach people as a sentence and an exit code."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.cli import terminal
from reconciler.model.errors import ReconcileError, SettingsError, UsageError

if TYPE_CHECKING:
    from reconciler.settings.load import Settings

FOR_PEOPLE = 50
"""So many lines a list shows to people, unless it is told otherwise."""

Config = Annotated[
    Path | None,
    typer.Option(
        "--config", metavar="FILE", help="TOML file with settings (env: RECONCILE_CONFIG).", show_default=False
    ),
]
MeterName = Annotated[
    str | None,
    typer.Option("--meter", metavar="NAME", help="Only this meter (env: RECONCILE_METER).", show_default=False),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
AsCsv = Annotated[bool, typer.Option("--csv", help="Print CSV on standard output.")]
Limit = Annotated[int | None, typer.Option("--limit", metavar="N", min=1, help="List at most so many.")]
EventIds = Annotated[
    list[str] | None,
    typer.Argument(metavar="ID…", help="As the list shows them; a beginning that no other has is enough."),
]


def settings_of(config: Path | None, meter: str | None, *, require_lago: bool = True) -> "Settings":
    """Load the settings, of one meter only if it is named.

    Raises:
        ReconcileError: a setting is wrong, or there is no such meter.
    """
    from reconciler.settings.load import load_settings

    return load_settings(config=config, overrides={"meter": meter}, require_lago=require_lago)


def warn(settings: "Settings") -> None:
    """Say on standard error what works and is not safe."""
    for sentence in settings.warnings:
        terminal.say(f"reconcile: warning: {sentence}", terminal.LOOK, stderr=True)


def understood(arguments: Sequence[str]) -> None:
    """See that the command line is text.

    Raises:
        UsageError: an argument is not; no database, file or Lago could take it.
    """
    for argument in arguments:
        if not argument.isascii():
            try:
                argument.encode()
            except UnicodeEncodeError:
                raise UsageError(f"The argument {argument!r} is not text in UTF-8: write it again.") from None


def one_format(*, as_json: bool, as_csv: bool) -> None:
    """See that a program asks for one format."""
    if as_json and as_csv:
        raise UsageError("--json and --csv are two formats: choose one.")


def named(ids: "Sequence[str] | None", *, command: str) -> "Sequence[str]":
    """What a decision is about that a person gives a reason for.

    Raises:
        UsageError: that is not said.
    """
    if not ids:
        raise UsageError(f"Say which: `reconcile {command} ID… --reason TEXT`.")
    return ids


def which(event_ids: "Sequence[str] | None", *, everything: bool, command: str) -> "Sequence[str] | None":
    """The events that a decision is about, None for all of them.

    Raises:
        UsageError: that is not said, or said twice.
    """
    if everything == bool(event_ids):
        raise UsageError(f"Say which: `reconcile {command} ID…`, or `--all`.")
    return None if everything else event_ids


def given_config(context: typer.Context) -> Path | None:
    """The `--config` that stands before the command."""
    value: Path | None = (context.find_root().obj or {}).get("config")
    return value


def given_meter(context: typer.Context) -> str | None:
    """The `--meter` that stands before the command."""
    value: str | None = (context.find_root().obj or {}).get("meter")
    return value


@contextmanager
def plainly() -> Iterator[None]:
    """Let errors that are for people reach them as a sentence and an exit code."""
    try:
        yield
    except ReconcileError as error:
        # A fault of the settings is a line of its own; whatever else breaks a line is text from outside.
        for line in str(error).split("\n") if isinstance(error, SettingsError) else [str(error)]:
            terminal.complain(line)
        raise typer.Exit(error.exit_code) from None
    except KeyboardInterrupt:
        terminal.complain("stopped; nothing is lost, run again.")
        raise typer.Exit(130) from None
