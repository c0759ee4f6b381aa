"""Alarms, as a list."""

from collections.abc import Sequence
from typing import Any

from reconciler.cli import terminal
from reconciler.cli.terminal import Row

COLUMNS = ("id", "meter=", "kind", "since (UTC)", "acknowledged", "what")


def alarms(found: Sequence[dict[str, Any]]) -> None:
    """List alarms; those that nobody has acknowledged need a look."""
    if not found:
        terminal.say("No alarm stands.")
        return
    terminal.table(
        COLUMNS,
        (
            Row(
                (str(each["id"]), each["meter"], each["kind"], each["raised_at"], each["reason"] or "no",
                 each["message"]),
                "" if each["acknowledged"] else terminal.LOOK,
            )
            for each in found
        ),
    )  # fmt: skip
