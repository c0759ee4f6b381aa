from datetime import datetime

import pytest

from reconciler.sandbox import Sandbox
from tests.conftest import Database
from tests.support import environment


@pytest.fixture
def environ(proxy_db: Database, lago: Sandbox) -> dict[str, str]:
    """An operator's variables: one database, the stand-in of Lago."""
    return environment(proxy_db, lago)


def looked_at(ledger: Database) -> dict[datetime, datetime]:
    """When each window was last looked at."""
    return dict(ledger.fetch('SELECT start, looked_at FROM reconciler."window"'))
