"""How a pass tells what it is at: to whoever shows it, or to nobody."""

from datetime import datetime
from typing import Literal, Protocol

Kind = Literal["fresh", "probe", "deep", "backfill"]
"""The kinds of look."""


class Progress(Protocol):
    """Is told how a pass gets on."""

    def looked(self, kind: Kind, since: datetime, until: datetime, position: datetime, events: int = 0) -> None:
        """A look over `[since, until)` has come to the position; so many events were planned by this pass."""

    def delivering(self, events: int) -> None:
        """So many events are about to be delivered."""

    def answered(self, events: int) -> None:
        """Lago has answered to so many more."""


class Silent(Progress):
    """Shows nothing."""

    def looked(self, kind: Kind, since: datetime, until: datetime, position: datetime, events: int = 0) -> None:
        """Do nothing."""

    def delivering(self, events: int) -> None:
        """Do nothing."""

    def answered(self, events: int) -> None:
        """Do nothing."""
