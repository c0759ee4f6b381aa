"""Leg a: LiteLLM's daily tables beside the spend table, day by day."""

from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pytest
from psycopg import errors as pg

from reconciler.model.errors import SourceError
from reconciler.sandbox import Sandbox
from reconciler.verify.daily_tables import DailyTables
from tests.conftest import Database, spend_row
from tests.support import environment, reconcile
from tests.verify.conftest import ONE, kinds, leg, verify

NOON = datetime.combine(datetime.now(UTC).date(), time(12), UTC) - timedelta(days=2)


def daily(source: Database, table: str, entity: str, spend: dict[str, float], day: datetime = NOON) -> None:
    """Write rows as the proxy's other queue does; a customer may have several a day."""
    for name, cost in spend.items():
        source.fetch(
            f"""INSERT INTO "{table}" (id, "{entity}", date, api_key, model, spend, updated_at)
                SELECT gen_random_uuid(), %s, %s, 'k', number, %s, now() FROM generate_series(1, 2) AS number""",
            name,
            f"{day:%Y-%m-%d}",
            cost / 2,
        )


def billed(source: Database, lago: Sandbox, *rows: dict[str, Any], **settings: str) -> dict[str, str]:
    """Bill these rows of that day, and one of the day before: it shows from when on the table has whole days."""
    environ = environment(source, lago) | settings
    source.insert(spend_row(startTime=NOON - timedelta(days=1)), *(spend_row(startTime=NOON) | row for row in rows))
    reconcile(environ, since="10d")
    return environ


@pytest.mark.parametrize(
    ("charge_by", "table", "entity", "column"),
    [
        ("end_user_id", "LiteLLM_DailyEndUserSpend", "end_user_id", "end_user"),
        ("user_id", "LiteLLM_DailyUserSpend", "user_id", "user"),
        ("team_id", "LiteLLM_DailyTeamSpend", "team_id", "team_id"),
    ],
)
def test_what_the_proxy_lost(
    charge_by: str, table: str, entity: str, column: str, proxy_db: Database, lago: Sandbox
) -> None:
    rows = [{column: "acme", "spend": 0.5}, {column: "globex", "spend": 0.25}, {column: "", "spend": 9.0}]
    environ = billed(proxy_db, lago, *rows, LAGO_API_CHARGE_BY=charge_by)
    daily(proxy_db, table, entity, {"acme": 0.5, "globex": 0.25 * (1 + 1e-15), "": 9.0})
    found = leg(verify(environ), "a")
    assert (kinds(found), found.of) == ({}, f'"{table}"')
    assert found.checked in {"1 day", "2 days"}, "yesterday is not compared just after midnight"
    assert found.sides.found == Decimal("0.75")

    daily(proxy_db, table, entity, {"initech": 0.25})
    report = verify(environ)
    found = leg(report, "a")
    assert (kinds(found), found.rate_shown, report.exit_code) == ({"lost by the proxy": 1}, "0.750000", 3)
    assert [(each.day, each.customer, each.amount) for each in found.worst] == [
        (NOON.date(), "initech", Decimal("0.25"))
    ]


@pytest.mark.proof
def test_days_before_the_first_row_of_all_are_lost_too(proxy_db: Database, lago: Sandbox) -> None:
    """A proxy that kept no logs at first; passes have looked, and so it was not retention."""
    environ = environment(proxy_db, lago)
    reconcile(environ)
    begin = NOON - timedelta(days=2)
    proxy_db.fetch("UPDATE reconciler.meter SET start = %s, watermark = %s", begin, begin)
    reconcile(environ)
    proxy_db.insert(spend_row(end_user="acme", spend=0.5, startTime=NOON))
    reconcile(environ, since="5d")
    daily(proxy_db, "LiteLLM_DailyEndUserSpend", "end_user_id", {"acme": 0.25}, NOON - timedelta(days=1))
    daily(proxy_db, "LiteLLM_DailyEndUserSpend", "end_user_id", {"acme": 0.5})
    found = leg(verify(environ), "a")
    assert [(each.kind.name, each.day, each.amount) for each in found.worst] == [
        ("lost by the proxy", NOON.date() - timedelta(days=1), Decimal("0.25"))
    ]


@pytest.mark.proof
def test_what_the_daily_table_lost_is_no_drift_and_a_thousandth_is_no_difference(
    proxy_db: Database, lago: Sandbox
) -> None:
    environ = billed(proxy_db, lago, {"end_user": "acme", "spend": 0.5}, {"end_user": "globex", "spend": 0.25})
    daily(proxy_db, "LiteLLM_DailyEndUserSpend", "end_user_id", {"acme": 0.5})
    found = leg(verify(environ), "a")
    assert (kinds(found), found.reading, found.drifts) == ({"lacking in the daily table": 1}, "above 1", False)

    daily(proxy_db, "LiteLLM_DailyEndUserSpend", "end_user_id", {"globex": 0.2502})
    found = leg(verify(environ), "a")
    assert (kinds(found), found.reading) == ({}, "below 1")


@pytest.mark.proof
def test_days_that_retention_has_reached_are_not_compared(proxy_db: Database, lago: Sandbox) -> None:
    environ = billed(proxy_db, lago, {"end_user": "acme", "spend": 0.5})
    daily(proxy_db, "LiteLLM_DailyEndUserSpend", "end_user_id", {"acme": 0.5})
    assert leg(verify(environ), "a").rate == ONE
    proxy_db.insert(spend_row())
    proxy_db.fetch("""DELETE FROM "LiteLLM_SpendLogs" WHERE "startTime" < now() - interval '1 day'""")
    found = leg(verify(environ), "a")
    assert (found.checked, found.days) == ("0 days", {})
    assert found.left_out is not None


@pytest.mark.proof
def test_a_source_that_fails_is_an_error_and_rows_that_are_hidden_leave_it_out(
    proxy_db: Database, lago: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    environ = billed(proxy_db, lago, {"end_user": "acme", "spend": 0.5})
    monkeypatch.setattr(DailyTables, "_compare", failing := Failing())
    for failing.cause, is_error in ((pg.QueryCanceled(), True), (pg.InsufficientPrivilege(), False)):
        [found] = [each for each in verify(environ).legs if each.name == "a"]
        assert (found.error is not None, found.left_out) == (is_error, None if is_error else "no")


class Failing:
    cause: Exception

    def __call__(self, *_: object) -> None:
        raise SourceError("no") from self.cause


TABLE = '"LiteLLM_DailyEndUserSpend"'
LEFT_OUT = {
    "SELECT": "has no rows",
    f"ALTER TABLE {TABLE} RENAME TO t; CREATE VIEW {TABLE} AS TABLE t": "is a view",
    f"DROP VIEW {TABLE}": "has no table",
}


@pytest.mark.proof
def test_it_is_left_out_and_said(proxy_db: Database, lago: Sandbox) -> None:
    environ = billed(proxy_db, lago, {"end_user": "acme", "spend": 0.5})
    for statement, why in LEFT_OUT.items():
        proxy_db.fetch(statement)
        found = leg(verify(environ), "a")
        assert found.left_out is not None
        assert why in found.left_out
        assert (found.rate, kinds(found)) == (None, {})
