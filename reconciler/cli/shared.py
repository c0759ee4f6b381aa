"""What the commands share: options, settings, and errors that reach people as a sentence and an exit code."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.model.errors import ReconcileError, UsageError

if TYPE_CHECKING:
    from reconciler.settings.load import Settings

Config = Annotated[
    Path | None,
    typer.Option("--config", help="TOML file with settings (env: RECONCILE_CONFIG).", show_default=False),
]
MeterName = Annotated[
    str | None, typer.Option("--meter", help="Only this meter (env: RECONCILE_METER).", show_default=False)
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]


def settings_of(config: Path | None, meter: str | None, *, require_lago: bool = True) -> "Settings":
    """Load the settings, of one meter only if it is named.

    Raises:
        ReconcileError: a setting is wrong, or there is no such meter.
    """
    from dataclasses import replace

    from reconciler.settings.load import load_settings

    settings = load_settings(config=config, require_lago=require_lago)
    if meter is None:
        return settings
    chosen = tuple(each for each in settings.meters if each.name == meter)
    if not chosen and len(settings.meters) == 1:
        return load_settings(config=config, overrides={"meter": meter}, require_lago=require_lago)
    if not chosen:
        names = ", ".join(each.name for each in settings.meters)
        raise UsageError(f"--meter {meter}: the settings describe {names}.")
    return replace(settings, meters=chosen)


def warn(settings: "Settings") -> None:
    """Say on standard error what works and is not safe."""
    for sentence in settings.warnings:
        print(f"reconcile: warning: {sentence}", file=sys.stderr)  # noqa: T201


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
        for line in str(error).splitlines():
            print(f"reconcile: {line}", file=sys.stderr)  # noqa: T201
        raise typer.Exit(error.exit_code) from None
    except KeyboardInterrupt:
        print("reconcile: stopped; nothing is lost, run again.", file=sys.stderr)  # noqa: T201
        raise typer.Exit(130) from None
