"""`--adopt` takes a declared change from a window boundary on; earlier windows are billed as they were."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from reconciler.model.errors import MeterChangedError, SourceError
from reconciler.sandbox import Sandbox
from tests.conftest import Database, spend_row
from tests.support import CODE, assert_exact, counted, environment, let_time_pass, make_metric, reconcile, window


def _boundary(ledger: Database) -> datetime:
    [(boundary,)] = ledger.fetch("SELECT max(since) FROM reconciler.terms")
    assert isinstance(boundary, datetime)
    return boundary


def _move_boundary(ledger: Database, to: datetime) -> None:
    """As if the change had been adopted before that moment."""
    ledger.fetch("UPDATE reconciler.terms SET since = %s WHERE since > '1970-01-01'", to)


def _billed(lago: Sandbox) -> dict[tuple[Any, ...], int]:
    """Requests by event code, subscription, model and length of window."""
    found: dict[tuple[Any, ...], int] = {}
    for event in lago.events():
        properties = event["properties"]
        length = properties["window"].partition("/")[2]
        key = (event["code"], event["external_subscription_id"], properties["model"], length)
        found[key] = found.get(key, 0) + properties["requests"]
    return found


ROW: dict[str, Any] = {"end_user": "acme", "model": "m", "model_group": "g", "team_id": "t"}


@pytest.mark.parametrize(
    ("change", "after"),
    [
        ({"RECONCILE_MODEL_COLUMN": "model_group"}, ("openai_tokens", "acme", "g", "PT15M")),
        pytest.param(
            {"RECONCILE_MODEL_COLUMN": "none"}, ("openai_tokens", "acme", "", "PT15M"), marks=pytest.mark.proof
        ),
        pytest.param({"LAGO_API_CHARGE_BY": "team_id"}, ("openai_tokens", "t", "m", "PT15M"), marks=pytest.mark.proof),
        pytest.param({"LAGO_API_EVENT_CODE": "llm"}, ("llm", "acme", "m", "PT15M"), marks=pytest.mark.proof),
        pytest.param({"RECONCILE_EXCLUDE": "team:t"}, None, marks=pytest.mark.proof),
        ({"RECONCILE_WINDOW": "5m"}, ("openai_tokens", "acme", "m", "PT5M")),
        pytest.param({"RECONCILE_WINDOW": "1h"}, ("openai_tokens", "acme", "m", "PT1H"), marks=pytest.mark.proof),
    ],
    ids=str,
)
def test_earlier_windows_keep_their_terms_and_later_ones_have_the_new(
    proxy_db: Database, lago: Sandbox, change: dict[str, str], after: tuple[str, ...] | None
) -> None:
    before = ("openai_tokens", "acme", "m", "PT15M")
    environ = environment(proxy_db, lago)
    make_metric(lago, change.get("LAGO_API_EVENT_CODE", CODE))
    boundary = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=4)
    earlier, later = boundary - timedelta(minutes=1), boundary + timedelta(minutes=1)
    proxy_db.insert(spend_row(startTime=earlier, **ROW))
    reconcile(environ, since=(boundary - timedelta(hours=2)).isoformat(), until=boundary.isoformat())
    proxy_db.fetch("UPDATE reconciler.meter SET start = %s, watermark = %s", boundary - timedelta(hours=2), boundary)

    adopted = reconcile(environ | change, adopt=True)
    assert len(adopted.adopted) == 1
    assert _boundary(proxy_db) > datetime.now(UTC)
    assert f"From {_boundary(proxy_db):%Y-%m-%d %H:%M} UTC on: " in adopted.adopted[0]
    # Until the boundary all is as it was. Then it comes: here, it has been for four hours.
    _move_boundary(proxy_db, boundary)
    proxy_db.fetch('DELETE FROM reconciler."window" WHERE start >= %s', boundary)
    proxy_db.fetch("UPDATE reconciler.meter SET watermark = %s", boundary)
    proxy_db.insert(spend_row(startTime=later, **ROW))
    reconcile(environ | change)
    assert _billed(lago) == {before: 1} | ({after: 1} if after else {})

    # Late rows on both sides, found by the probe, and updates, found by the deep look.
    proxy_db.insert(spend_row(startTime=earlier, **ROW), spend_row(startTime=later, **ROW))
    let_time_pass(proxy_db, "61 minutes")
    assert reconcile(environ | change).tally.rows == (2 if after else 1)
    assert _billed(lago) == {before: 2} | ({after: 2} if after else {})
    proxy_db.fetch('UPDATE "LiteLLM_SpendLogs" SET prompt_tokens = prompt_tokens + 1')
    let_time_pass(proxy_db, "2 days")
    deep = reconcile(environ | change)
    assert deep.tally.events_planned == (2 if after else 1)
    assert (deep.tally.frozen_buckets, deep.exit_code) == (0, 0)
    assert reconcile(environ | change).tally.events_planned == 0


def test_the_boundary_is_one_of_both_lengths_of_window(proxy_db: Database, lago: Sandbox) -> None:
    environ = environment(proxy_db, lago, RECONCILE_WINDOW="10m")
    proxy_db.insert(spend_row(startTime=window(2)))
    reconcile(environ, since="1d")
    reconcile(environ | {"RECONCILE_WINDOW": "15m"}, adopt=True)
    assert _boundary(proxy_db).minute in {0, 30}
    assert datetime.now(UTC) < _boundary(proxy_db) <= datetime.now(UTC) + timedelta(minutes=30)


def test_after_adopting_the_new_settings_are_the_meters_and_the_old_are_refused(
    proxy_db: Database, lago: Sandbox
) -> None:
    environ = environment(proxy_db, lago)
    proxy_db.insert(spend_row(startTime=window(2)))
    reconcile(environ, since="1d")
    changed = environ | {"RECONCILE_MODEL_COLUMN": "model_group"}
    reconcile(changed, adopt=True)
    assert reconcile(changed).error is None
    with pytest.raises(MeterChangedError, match="was model_group, now model"):
        reconcile(environ)


@pytest.mark.proof
def test_a_change_that_has_not_begun_can_be_taken_back_or_replaced(proxy_db: Database, lago: Sandbox) -> None:
    environ = environment(proxy_db, lago)
    proxy_db.insert(spend_row(startTime=window(2)))
    reconcile(environ, since="1d")
    reconcile(environ | {"RECONCILE_MODEL_COLUMN": "model_group"}, adopt=True)
    reconcile(environ | {"RECONCILE_EXCLUDE": "team:internal"}, adopt=True)
    [terms] = proxy_db.fetch("SELECT model_column, exclude FROM reconciler.terms WHERE since > '1970-01-01'")
    assert terms == ("model", ["team:internal"])

    reconcile(environ, adopt=True)
    assert reconcile(environ).error is None
    assert_exact(proxy_db, lago)


def test_retention_after_a_change_of_length_purges_by_each_window_s_own(proxy_db: Database, lago: Sandbox) -> None:
    """The mark is a window of the terms at its place: what retention left in it is not taken for late."""
    environ = environment(proxy_db, lago, RECONCILE_WINDOW="1h")
    change = environ | {"RECONCILE_WINDOW": "15m"}
    boundary = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    old = boundary - timedelta(days=3)
    proxy_db.insert(*(spend_row(startTime=old + number * timedelta(minutes=10)) for number in range(12)))
    proxy_db.insert(spend_row(startTime=window(2)))
    reconcile(environ, since="5d")
    reconcile(change, adopt=True)
    _move_boundary(proxy_db, boundary)
    proxy_db.fetch('DELETE FROM reconciler."window" WHERE start >= %s', boundary)
    proxy_db.fetch("UPDATE reconciler.meter SET watermark = %s", boundary)
    proxy_db.fetch("DELETE FROM reconciler.event WHERE window_start >= %s", boundary)
    proxy_db.fetch("DELETE FROM reconciler.batch WHERE first_window >= %s", boundary)
    billed = sum(usage.requests for usage in counted(lago).values())

    # Half of the window is gone.
    proxy_db.fetch(
        'DELETE FROM "LiteLLM_SpendLogs" WHERE "startTime" < %s', (old + timedelta(minutes=95)).replace(tzinfo=None)
    )
    let_time_pass(proxy_db, "61 minutes")
    done = reconcile(change)

    assert proxy_db.fetch("SELECT purge_mark FROM reconciler.meter") == [(old + timedelta(hours=1),)]
    assert done.balance is not None
    assert (done.balance.late_rows, done.balance.frozen_buckets) == (0, 0)
    assert billed >= 12


@pytest.mark.proof
def test_a_start_chosen_later_is_a_boundary_of_the_windows_that_were_there(proxy_db: Database, lago: Sandbox) -> None:
    hourly = environment(proxy_db, lago, RECONCILE_WINDOW="1h")
    long_ago = datetime.now(UTC) - timedelta(days=4)
    proxy_db.insert(spend_row(startTime=long_ago))
    reconcile(hourly, since="5d", until="3d")
    quarterly = environment(proxy_db, lago, RECONCILE_WINDOW="15m")
    reconcile(quarterly, adopt=True)
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=30)
    proxy_db.insert(spend_row(startTime=hour + timedelta(minutes=5)), spend_row(startTime=hour + timedelta(minutes=20)))

    reconcile(quarterly, since=f"{hour + timedelta(minutes=15):%Y-%m-%dT%H:%M}")
    assert proxy_db.fetch("SELECT start FROM reconciler.meter") == [(hour,)]
    assert {key[3]: requests for key, requests in _billed(lago).items()} == {"PT1H": 3}
    let_time_pass(proxy_db, "2 days")
    assert reconcile(quarterly).tally.events_planned == 0


def test_a_column_that_only_earlier_terms_need_is_named_where_it_is_gone(proxy_db: Database, lago: Sandbox) -> None:
    environ = environment(proxy_db, lago)
    proxy_db.insert(spend_row())
    reconcile(environ, since="1d")
    by_team = environ | {"LAGO_API_CHARGE_BY": "team_id"}
    reconcile(by_team, adopt=True)
    proxy_db.fetch('ALTER TABLE "LiteLLM_SpendLogs" DROP COLUMN end_user CASCADE')
    with pytest.raises(SourceError, match='can\'t read "end_user"'):
        reconcile(by_team)
