from datetime import UTC, datetime, timedelta
from typing import Any

from reconciler.report.summary import Summary
from tests.commands import run
from tests.conftest import Database
from tests.process import only_object
from tests.support import let_time_pass, reconcile

REASON = ("--reason", "credited 4 USD in Lago: the rows are globex's")


def moment() -> datetime:
    """A moment of a window that is settled, and that a fresh look no longer comes to."""
    now = datetime.now(UTC).replace(minute=5, second=0, microsecond=0)
    return now - timedelta(hours=5)


def frozen(environ: dict[str, str], *options: str) -> dict[str, Any]:
    """What `reconcile frozen --json` prints."""
    return only_object(run(environ, "frozen", "list", "--json", *options))


def look(environ: dict[str, str], ledger: Database) -> Summary:
    """A pass with a deep look."""
    let_time_pass(ledger, "2 days")
    return reconcile(environ)


def kinds(done: Summary) -> list[str]:
    """The kinds of alarm that stand."""
    return [alarm["kind"] for alarm in done.alarms]
