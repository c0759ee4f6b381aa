"""A proxy and a Lago at a moment of the past, in the middle of a window or near its end, whatever the time is."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from reconciler.capture.source import Sight, Source
from reconciler.passes.closing.close import Close
from reconciler.report.closing import Closed, Closing
from reconciler.sandbox import Sandbox
from reconciler.settings.load import load_settings
from tests.periods.conftest import Billing, billing
from tests.support import QUICK

__all__ = ["Billing", "Clock", "billing"]

WINDOW = timedelta(minutes=15)


class Clock:
    """The source's clock and Lago's."""

    def __init__(self, lago: Sandbox, patch: pytest.MonkeyPatch) -> None:
        self._lago = lago
        self._behind = timedelta(0)
        self.replays_after = timedelta(0)
        """How long after the primary a replica has come to the same."""
        sight = Source.sight

        def seen(source: Source) -> Sight:
            found = sight(source)
            now = found.now - self._behind
            return replace(found, clock=now, now=now - self.replays_after)

        patch.setattr(Source, "sight", seen)
        present = datetime.now(UTC)
        self.window = present - (present - datetime(1970, 1, 1, tzinfo=UTC)) % WINDOW - 2 * WINDOW
        """The start of a window that is over."""

    def set(self, moment: datetime) -> None:
        """Let it be that moment; time goes on from there."""
        self._behind = datetime.now(UTC) - moment
        self._lago.set_clock(moment)

    def now(self) -> datetime:
        """What time it is there."""
        return datetime.now(UTC) - self._behind

    def reset(self) -> None:
        """Let it be now."""
        self._behind = timedelta(0)
        self._lago.reset_clock()


@pytest.fixture
def clock(lago: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(lago, monkeypatch)


def close(environ: dict[str, str], customer: str = "acme", *, dry_run: bool = False, limit: str = "60") -> Closing:
    """`reconcile close` in this process."""
    settings = replace(load_settings(environ=environ), limits=QUICK)
    return Close(settings).run(customer, limit=timedelta(seconds=float(limit)), dry_run=dry_run)


def closed(environ: dict[str, str], customer: str = "acme", *, dry_run: bool = False, limit: str = "60") -> Closed:
    """The same of one meter, which nothing has gone wrong with."""
    [found] = close(environ, customer, dry_run=dry_run, limit=limit).meters
    if found.error:
        raise found.error
    return found
