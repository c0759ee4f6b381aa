"""End users, internal users or teams: whoever the setting says is billed, and nobody else."""

from datetime import UTC, datetime, timedelta

from reconciler.demo.traffic import generate, write
from reconciler.sandbox import Sandbox
from tests.conftest import Database
from tests.support import assert_exact, counted, environment, make_metric, reconcile

WHO = [
    ("end_user_id", "end_user", "acme"), ("user_id", "user", "acme/user-1"), ("team_id", "team_id", "team of acme"),
]  # fmt: skip


def test_bills_whom_the_setting_names(proxy_db: Database, lago: Sandbox) -> None:
    """Three meters over the same rows, each with a code of its own."""
    until = datetime.now(UTC)
    write(proxy_db.url, generate(7, until - timedelta(hours=6), until, 300))
    for charge_by, column, billed in WHO:
        make_metric(lago, charge_by)
        mine = {"RECONCILE_METER": charge_by, "LAGO_API_CHARGE_BY": charge_by, "LAGO_API_EVENT_CODE": charge_by}
        summary = reconcile(environment(proxy_db, lago) | mine, since="7h")
        assert billed in {customer for customer, _ in counted(lago, code=charge_by)}
        assert summary.tally.unattributed_rows > 0
        assert_exact(proxy_db, lago, meter=charge_by, code=charge_by, customer=column)
