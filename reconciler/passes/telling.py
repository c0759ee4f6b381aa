"""Tells the operator's own command or webhook of alarms: once that one rings, once that it is over.

The ledger remembers what was told, over all passes, machines and restarts. A pass that dies between telling and noting
leaves it to be told a second time.
"""

import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta

import structlog

from reconciler.ledger import alarms
from reconciler.ledger.store import Ledger
from reconciler.model.errors import ReconcileError
from reconciler.report import hook
from reconciler.settings.load import Settings

LEASE = timedelta(minutes=5)
"""So long a pass has to tell an alarm; what could not be told is tried again after that."""

SECONDS = 30.0
"""After so long a pass leaves the rest to the next one."""

log = structlog.get_logger("reconciler")


def tell_alarms(settings: Settings, ledger: Ledger, meters: Sequence[str]) -> None:
    """Tell what is to be told of these meters' alarms; one that can't be told is a warning in the log."""
    if not (settings.alarm_command or settings.alarm_webhook):
        return
    ends = time.monotonic() + SECONDS
    with suppress(ReconcileError):  # the pass itself has said that the ledger is away
        while time.monotonic() < ends:
            with ledger.transaction() as connection:
                alarm = alarms.claim(connection, meters, lease=LEASE)
            if alarm is None:
                return
            told = alarms.as_json(alarm) | {"state": "ringing" if alarm.cleared_at is None else "over"}
            failed = hook.tell(settings, told)
            if failed is not None:
                log.warning("alarm not told", meter=alarm.meter, alarm=alarm.id, kind=alarm.kind, reason=failed)
                continue
            with ledger.transaction() as connection:
                alarms.note_told(connection, alarm)
