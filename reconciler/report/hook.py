"""The operator's own way to be told of alarms: a command, or a webhook. Each gets one alarm as a JSON object.

Whatever becomes of it is a sentence and never an error: billing does not depend on it. Neither sentence quotes the
webhook's address or what answers there, since either may hold a token.
"""

import os
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from reconciler.lago.webhook import SECONDS, post
from reconciler.settings.load import Settings

MOST_OUTPUT = 2000
"""So many bytes of what a command prints are kept."""

_OURS = ("DATABASE_", "LAGO_", "RECONCILE_", "PGPASSWORD")
"""Variables that hold settings of ours, secrets among them: no command gets them."""


def tell(settings: Settings, told: Mapping[str, Any]) -> str | None:
    """Tell the operator's command or webhook of one alarm.

    Args:
        settings: one of the two is set.
        told: the alarm as plain values.

    Returns:
        What went wrong; None if it was told.
    """
    if settings.alarm_command:
        return run(settings.alarm_command, told)
    assert settings.alarm_webhook is not None
    return post(settings.alarm_webhook, told)


def run(command: Sequence[str], told: Mapping[str, Any], *, seconds: float = SECONDS) -> str | None:
    """Run a command with the alarm on its standard input, without a shell, and end it and its children in time."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    environ |= {f"ALARM_{name.upper()}": str(told[name]) for name in ("id", "meter", "kind", "state")}
    try:
        with tempfile.TemporaryFile() as given:
            given.write(msgspec.json.encode(told))
            given.seek(0)
            process = subprocess.Popen(  # noqa: S603 - the operator's own command
                command,
                stdin=given,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=environ,
                start_new_session=True,
            )
    except (OSError, ValueError) as error:
        return f"RECONCILE_ALARM_COMMAND can't be run: {getattr(error, 'strerror', None) or error}"
    said, ended = _watch(process, time.monotonic() + seconds)
    words = f": {said}" if said else ""
    if not ended and process.poll() is None:
        return f"RECONCILE_ALARM_COMMAND took more than {seconds:g} s and could not be ended{words}"
    if not ended:
        return f"RECONCILE_ALARM_COMMAND was ended, as it took more than {seconds:g} s{words}"
    return f"RECONCILE_ALARM_COMMAND ended with exit code {process.returncode}{words}" if process.returncode else None


def _watch(process: "subprocess.Popen[bytes]", deadline: float) -> tuple[str, bool]:
    """Wait for a command, or end it; return the begin of what it printed, and whether it ended by itself.

    What it has started may hold its output open for ever, and what can't be ended may run for ever: neither is waited
    for.
    """
    out = process.stdout
    assert out is not None
    said, is_open = b"", True
    while is_open and time.monotonic() < deadline:
        if select.select([out], [], [], 0.05)[0]:
            piece = os.read(out.fileno(), 2**16)
            said, is_open = (said + piece)[:MOST_OUTPUT], bool(piece)
        else:
            is_open = process.poll() is None
    with suppress(subprocess.TimeoutExpired):
        process.wait(max(0.0, deadline - time.monotonic()))
    ended = process.poll() is not None
    if not ended:
        with suppress(ProcessLookupError, PermissionError):  # one that has changed its user is not ours to end
            os.killpg(process.pid, signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):
            process.wait(1)
    out.close()
    return " ".join(said.decode(errors="replace").split()), ended
