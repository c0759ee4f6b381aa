"""End users, internal users or teams: whoever the setting says is billed, and nobody else."""

from datetime import UTC, datetime, timedelta

import pytest

from reconciler.demo.traffic import generate, write
from reconciler.sandbox import Sandbox
from tests.conftest import Database
from tests.support import assert_exact, counted, environment, reconcile


@pytest.mark.parametrize(
    ("charge_by", "column", "billed"),
    [("end_user_id", "end_user", "acme"), ("user_id", "user", "acme/user-1"), ("team_id", "team_id", "team of acme")],
)
def test_bills_whom_the_setting_names(
    proxy_db: Database, lago: Sandbox, charge_by: str, column: str, billed: str
) -> None:
    until = datetime.now(UTC)
    write(proxy_db.url, generate(7, until - timedelta(hours=6), until, 500))
    summary = reconcile(environment(proxy_db, lago, LAGO_API_CHARGE_BY=charge_by), since="7h")
    assert billed in {customer for customer, _ in counted(lago)}
    assert summary.tally.unattributed_rows > 0
    assert_exact(proxy_db, lago, customer=column)
