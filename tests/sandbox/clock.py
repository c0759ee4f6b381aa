from datetime import datetime, timedelta

from reconciler.sandbox.grammar import datetime_instant
from reconciler.sandbox.schedule.clock import Clock as RunningClock


class Clock(RunningClock):
    """The stand-in's clock, standing still wherever a test has put it."""

    at = datetime.fromisoformat("2026-05-15T12:00:00Z")

    def now(self) -> int:
        return datetime_instant(self.at)

    def put(self, text: str) -> None:
        self.at = datetime.fromisoformat(text)

    def forward(self, **span: float) -> None:
        self.at += timedelta(**span)
