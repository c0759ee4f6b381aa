"""Every failure a person may meet, as one sentence and an exit code.

A message says what is wrong and what to do. It never holds a secret: no API key, no password.
"""


class ReconcileError(Exception):
    """The work could not be done: database, Lago, or a turn that did not come. Exit code 1."""

    exit_code = 1


class UsageError(ReconcileError):
    """The command line asks for something that makes no sense, such as `--since` in the future. Exit code 2."""

    exit_code = 2


class SettingsError(ReconcileError):
    """A setting is missing or wrong; the message names the variable and gives an example of a right value."""


class SourceError(ReconcileError):
    """The proxy's database can't be read: unreachable, refused, no such table, no rights."""


class LedgerError(ReconcileError):
    """The reconciler's own schema can't be used: unreachable, refused, locked, newer than this program."""


class LagoError(ReconcileError):
    """Lago can't be reached, refuses us or answers something that is not Lago's."""


class LagoAwayError(LagoError):
    """Lago can't be reached, or fails whatever it is sent: it is asked again later."""


class NoTurnError(ReconcileError):
    """Another pass has the meter's turn for longer than this one may wait."""


class StoppedError(ReconcileError):
    """The pass was told to stop before it was done; nothing is lost."""


class EndedError(Exception):
    """The work is cut short because the service stops, another thread failed or the time is up; not a failure."""


class MeterChangedError(ReconcileError):
    """The settings differ from those that the meter was billed with (design, invariant 10)."""
