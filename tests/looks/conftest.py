from datetime import UTC, datetime, timedelta

import pytest

from reconciler.sandbox import Sandbox
from tests.conftest import Database
from tests.support import environment

WINDOW = timedelta(minutes=15)


def window(back: int = 1) -> datetime:
    """The start of a window that is settled for sure, `back` windows before the newest such one and a moment later."""
    now = datetime.now(UTC) - timedelta(minutes=3)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight + (now - midnight) // WINDOW * WINDOW - back * WINDOW


@pytest.fixture
def environ(proxy_db: Database, lago: Sandbox) -> dict[str, str]:
    """An operator's variables: one database, the stand-in of Lago."""
    return environment(proxy_db, lago)


def looked_at(ledger: Database) -> dict[datetime, datetime]:
    """When each window was last looked at."""
    return dict(ledger.fetch('SELECT start, looked_at FROM reconciler."window"'))
