"""Retention deletes old rows while late ones still arrive: nothing is credited, nothing doubled. Invariant 13."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from reconciler.capture.bring import copy
from reconciler.capture.looks import Seen
from reconciler.demo.litellm import partition_spend_logs
from reconciler.report.summary import Summary
from reconciler.sandbox import Sandbox
from tests.conftest import Database, spend_row
from tests.support import WINDOW, assert_exact, counted, environment, let_time_pass, reconcile, window

DAY = timedelta(days=1)


@pytest.fixture
def ledger(request: pytest.FixtureRequest, proxy_db: Database, empty_db: Database) -> Database:
    """Beside the source, unless a test asks for both places."""
    return empty_db if getattr(request, "param", "") == "elsewhere" else proxy_db


in_both_places = pytest.mark.parametrize(
    "ledger", ["beside the source", pytest.param("elsewhere", marks=pytest.mark.proof(seconds=2))], indirect=True
)


@pytest.fixture
def environ(proxy_db: Database, ledger: Database, lago: Sandbox) -> dict[str, str]:
    return environment(proxy_db, lago, ledger=None if ledger is proxy_db else ledger)


def _kinds(done: Summary) -> list[str]:
    return sorted(alarm["kind"] for alarm in done.alarms)


def _delete_before(database: Database, moment: object) -> None:
    database.fetch('DELETE FROM "LiteLLM_SpendLogs" WHERE "startTime" < %s::timestamptz AT TIME ZONE \'UTC\'', moment)


def _billed(lago: Sandbox) -> Decimal:
    return sum((usage.cost for usage in counted(lago).values()), Decimal())


def _mark(ledger: Database) -> object:
    [(mark,)] = ledger.fetch("SELECT purge_mark FROM reconciler.meter")
    return mark


def _probe(ledger: Database, environ: dict[str, str]) -> Summary:
    let_time_pass(ledger, "61 minutes")
    return reconcile(environ)


def _deep(ledger: Database, environ: dict[str, str]) -> Summary:
    let_time_pass(ledger, "2 days")
    return reconcile(environ)


def _bill_around_an_edge(database: Database, environ: dict[str, str]) -> datetime:
    """Bill a row of 0.001 USD each minute around the begin of a window ten days ago; return that begin."""
    edge = window() - 10 * DAY
    minutes = [edge + number * timedelta(minutes=1) for number in range(-30, 45)]
    database.insert(*(spend_row(startTime=moment, spend=0.001) for moment in minutes), spend_row(startTime=window()))
    reconcile(environ, since="15d")
    return edge


@pytest.mark.proof
@in_both_places
def test_late_rows_on_both_sides_of_the_edge(
    proxy_db: Database, ledger: Database, lago: Sandbox, environ: dict[str, str]
) -> None:
    edge = _bill_around_an_edge(proxy_db, environ)
    billed = _billed(lago)

    # Retention stops in the middle of the window at the edge. Late rows arrive: a day and a minute before the edge,
    # in its window, just after that, and long after.
    _delete_before(proxy_db, edge + timedelta(minutes=5))
    proxy_db.insert(
        spend_row(startTime=edge - timedelta(minutes=1), spend=0.1),
        spend_row(startTime=edge + timedelta(minutes=14), spend=0.25),
        spend_row(startTime=edge + WINDOW, spend=1.0),
        spend_row(startTime=edge + 3 * DAY, spend=2.0),
    )
    # The late row before the edge is the oldest now: it hides how far retention has come until that deletes it too.
    # Until then it is late itself, and the window at the edge just holds less than was billed.
    hidden = _probe(ledger, environ)
    assert _billed(lago) == billed + Decimal(3)
    assert _mark(ledger) == edge - WINDOW
    assert (_kinds(hidden), hidden.exit_code) == (["frozen", "late", "purged"], 3)

    _delete_before(proxy_db, edge + timedelta(minutes=5))
    assert _kinds(_probe(ledger, environ)) == ["purged"]
    assert _mark(ledger) == edge
    seen = _deep(ledger, environ)
    assert _kinds(seen) == ["late", "purged"]
    assert seen.balance is not None
    assert (seen.balance.late_rows, seen.balance.late_cost) == (0, Decimal("0.245")), "its bucket, beyond billed"
    assert _billed(lago) == billed + Decimal(3)

    proxy_db.insert(
        spend_row(startTime=edge - DAY, spend=0.5),
        spend_row(startTime=edge + timedelta(minutes=13), spend=0.0625),
        spend_row(startTime=edge + WINDOW, spend=4.0, end_user="globex"),
    )
    probed = _probe(ledger, environ)
    assert _mark(ledger) == edge, "it never moves back"
    assert _billed(lago) == billed + Decimal("7.5"), "late rows are billed on both sides"
    assert _kinds(probed) == ["late", "purged"]
    assert probed.balance is not None
    # But for one in the window at the edge, whose bucket has lost more rows than have come.
    assert (probed.balance.late_rows, probed.balance.late_cost) == (1, Decimal("0.3075"))
    late = next(alarm["message"] for alarm in probed.alarms if alarm["kind"] == "late")
    assert "most of it of acme (0.3075 USD): at least 1 row, and at least 0.3075 USD that are not billed" in late

    # All stays as it is, whatever looks again.
    for again in (_probe(ledger, environ), _deep(ledger, environ), reconcile(environ, since="15d")):
        assert (again.tally.events_planned, again.tally.frozen_buckets) == (0, 0)
        assert again.balance is not None
        assert (again.balance.late_rows, again.balance.frozen_buckets) == (1, 0)
    assert _billed(lago) == billed + Decimal("7.5")


@pytest.mark.proof
def test_late_usage_is_billed_or_reported_though_retention_has_deleted_more_in_its_window(
    proxy_db: Database, ledger: Database, lago: Sandbox, environ: dict[str, str]
) -> None:
    """A new customer's row and one that is raised, in a window of which half is deleted at the same time."""
    edge = _bill_around_an_edge(proxy_db, environ)
    billed = _billed(lago)
    _delete_before(proxy_db, edge + timedelta(minutes=5))
    assert _kinds(_probe(ledger, environ)) == ["purged"]

    _delete_before(proxy_db, edge + timedelta(minutes=10))
    proxy_db.insert(spend_row(startTime=edge + timedelta(minutes=12), spend=5.0, end_user="globex"))
    assert _kinds(_probe(ledger, environ)) == ["purged"]
    assert _billed(lago) == billed + 5

    raised = edge + timedelta(minutes=11)
    proxy_db.fetch('UPDATE "LiteLLM_SpendLogs" SET spend = 3 WHERE "startTime" = %s', raised.replace(tzinfo=None))
    again = _deep(ledger, environ)
    assert again.balance is not None
    assert (again.balance.late_rows, again.balance.late_cost) == (0, Decimal("3.004") - Decimal("0.015"))
    assert _kinds(again) == ["late", "purged"]
    assert _billed(lago) == billed + 5


@pytest.mark.proof
def test_retention_that_goes_on_rings_once(
    proxy_db: Database, ledger: Database, lago: Sandbox, environ: dict[str, str]
) -> None:
    proxy_db.insert(*(spend_row(startTime=window() - days * DAY) for days in range(12)))
    reconcile(environ, since="15d")
    billed = counted(lago)
    alarms = set()
    for days in (9.5, 7.3, 4.1):
        _delete_before(proxy_db, window() - days * DAY)
        done = _probe(ledger, environ)
        assert _kinds(done) == ["purged"]
        alarms |= {alarm["id"] for alarm in done.alarms}
        assert _mark(ledger) == window() - int(days) * DAY
        assert (done.tally.events_planned, done.tally.frozen_buckets) == (0, 0)
    assert len(alarms) == 1
    assert counted(lago) == billed


def test_deletes_after_the_mark_freeze_their_buckets_and_no_others(
    proxy_db: Database, ledger: Database, lago: Sandbox, environ: dict[str, str]
) -> None:
    """Somebody's own clean-up, not retention: a customer's rows in the middle are gone."""
    moments = [window() - days * DAY for days in range(1, 6)]
    proxy_db.insert(*(spend_row(startTime=each, end_user=name) for each in moments for name in ("acme", "globex")))
    reconcile(environ, since="15d")
    billed = counted(lago)
    proxy_db.fetch(
        'DELETE FROM "LiteLLM_SpendLogs" WHERE end_user = %s AND "startTime" = %s',
        "globex",
        moments[2].replace(tzinfo=None),
    )
    done = _probe(ledger, environ)
    assert (_kinds(done), done.tally.frozen_buckets, _mark(ledger)) == (["frozen"], 1, None)
    assert counted(lago) == billed


@pytest.mark.proof
@in_both_places
def test_the_mark_overtaking_the_watermark_is_an_alarm_until_acknowledged(
    proxy_db: Database, ledger: Database, lago: Sandbox, environ: dict[str, str]
) -> None:
    proxy_db.insert(spend_row(startTime=window() - 3 * DAY))
    reconcile(environ, since="5d")
    # No pass for two days; retention keeps one.
    ledger.fetch("UPDATE reconciler.meter SET watermark = watermark - interval '2 days'")
    ledger.fetch("DELETE FROM reconciler.\"window\" WHERE start >= now() - interval '2 days'")
    proxy_db.insert(*(spend_row(startTime=window() - hours * timedelta(hours=1)) for hours in range(1, 60)))
    _delete_before(proxy_db, window() - DAY)

    done = reconcile(environ)
    assert _mark(ledger) == window() - DAY
    assert _kinds(done) == ["overtaken", "purged"]
    assert done.tally.rows == 24, "what is left is billed"
    overtaken = next(alarm for alarm in done.alarms if alarm["kind"] == "overtaken")
    assert "before it was billed" in overtaken["message"]
    assert done.exit_code == 3
    # It happened: the watermark has gone on, the alarm stays.
    again = reconcile(environ)
    assert next(alarm for alarm in again.alarms if alarm["kind"] == "overtaken")["id"] == overtaken["id"]
    assert again.exit_code == 3


@pytest.mark.proof
@in_both_places
def test_a_pass_killed_after_the_chunk_that_moved_the_mark_has_rung(
    proxy_db: Database, ledger: Database, lago: Sandbox, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy_db.insert(spend_row(startTime=window() - 3 * DAY))
    reconcile(environ, since="5d")
    ledger.fetch("UPDATE reconciler.meter SET watermark = watermark - interval '2 days'")
    proxy_db.insert(spend_row(startTime=window()))
    _delete_before(proxy_db, window())

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Seen, "add", killed)  # right after the chunk's commit
        with pytest.raises(KeyboardInterrupt):
            reconcile(environ)

    assert _mark(ledger) == window()
    assert ledger.fetch("SELECT kind FROM reconciler.alarm WHERE cleared_at IS NULL") == [("overtaken",)]
    done = reconcile(environ)
    assert "overtaken" in _kinds(done)
    assert done.exit_code == 3


def test_what_is_left_in_the_mark_s_window_is_billed_even_if_no_pass_had_seen_it(
    proxy_db: Database, ledger: Database, lago: Sandbox, environ: dict[str, str]
) -> None:
    proxy_db.insert(spend_row(startTime=window() - 3 * DAY))
    reconcile(environ, since="5d")
    ledger.fetch("UPDATE reconciler.meter SET watermark = %s", window())
    ledger.fetch('DELETE FROM reconciler."window" WHERE start >= %s', window())
    proxy_db.insert(spend_row(startTime=window(), spend=0.5))
    _delete_before(proxy_db, window())

    done = reconcile(environ)
    assert _kinds(done) == ["overtaken", "purged"]
    assert _billed(lago) == Decimal("0.5000135")
    messages = {alarm["kind"]: alarm["message"] for alarm in done.alarms}
    assert f"the window of {window():%Y-%m-%d %H:%M} UTC before it was billed" in messages["overtaken"]
    assert "can't be billed; what is left is" in messages["overtaken"]


@pytest.mark.proof
def test_what_retention_deletes_while_another_database_s_rows_are_read_is_known_for_deleted(
    proxy_db: Database, empty_db: Database, lago: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two databases have no snapshot in common: how far retention has come is asked after the totals were read."""
    environ = environment(proxy_db, lago, ledger=empty_db)
    moments = [window() - days * DAY for days in range(6)]
    proxy_db.insert(*(spend_row(startTime=moment) for moment in moments))
    reconcile(environ, since="15d")
    billed = counted(lago)

    def then_delete(*arguments: Any, **named: Any) -> None:
        copy(*arguments, **named)
        _delete_before(proxy_db, moments[2])

    with monkeypatch.context() as patch:
        patch.setattr("reconciler.capture.bring.copy", then_delete)
        during = _deep(empty_db, environ)
    after = _deep(empty_db, environ)
    for done in (during, after):
        assert _kinds(done) == ["purged"]
        assert (done.tally.events_planned, done.tally.frozen_buckets) == (0, 0)
    assert _mark(empty_db) == moments[2]
    assert counted(lago) == billed


def _empty(database: Database) -> None:
    database.fetch('TRUNCATE "LiteLLM_SpendLogs"')


OPEN = timedelta(minutes=16)
"""After the begin of the newest settled window: in one that is not."""


@pytest.mark.parametrize(
    "left",
    [
        pytest.param(None, id="nothing", marks=pytest.mark.proof(seconds=1)),
        pytest.param(datetime(2036, 1, 1, tzinfo=UTC), id="a row of the future"),
        pytest.param(window() + OPEN, id="a row of the present"),
        pytest.param(datetime(1971, 1, 1, tzinfo=UTC), id="a row before the start", marks=pytest.mark.proof(seconds=1)),
    ],
)
def test_a_row_of_the_future_says_nothing_about_retention(
    proxy_db: Database, lago: Sandbox, left: datetime | None
) -> None:
    environ = environment(proxy_db, lago)
    proxy_db.insert(*(spend_row(startTime=window(back)) for back in (700, 9, 1)))
    reconcile(environ, since="10d")
    _empty(proxy_db)
    if left:
        proxy_db.insert(spend_row(startTime=left))

    emptied = _deep(proxy_db, environ)
    assert _kinds(emptied) == ["purged"], "no bucket is frozen, and passes had come far enough"
    mark = _mark(proxy_db)
    assert isinstance(mark, datetime)
    assert window(1) <= mark <= window(0)

    # Whatever comes is billed, in whatever window: billed before, never billed, not settled then.
    proxy_db.insert(*(spend_row(startTime=window(back), end_user=name) for back, name in ((9, "new"), (5, "acme"))))
    assert _probe(proxy_db, environ).tally.rows == 2
    assert _mark(proxy_db) == mark


@pytest.mark.proof
def test_what_comes_into_a_table_that_retention_has_emptied_is_billed(
    proxy_db: Database, ledger: Database, lago: Sandbox, environ: dict[str, str]
) -> None:
    """No pass has seen the empty table: the new rows are the oldest."""
    proxy_db.insert(*(spend_row(startTime=window(back), spend=1.0) for back in (500, 400)))
    reconcile(environ, since="9d")
    _empty(proxy_db)
    new = [spend_row(startTime=window(2), spend=1.0) for _ in range(3)]
    proxy_db.insert(*new)

    done = _probe(ledger, environ)

    assert done.tally.rows == 3
    assert _kinds(done) == ["purged"]
    assert _mark(ledger) == window(2)
    assert _billed(lago) == 5


@pytest.mark.proof
def test_usage_that_is_copied_back_is_not_late_and_what_is_above_billed_is_billed(
    proxy_db: Database, lago: Sandbox
) -> None:
    """LiteLLM's runbook for partitions in mid-window: some rows were seen before, some not, and one came after."""
    environ = environment(proxy_db, lago)
    proxy_db.insert(
        spend_row(startTime=window(6), spend=0.0, prompt_tokens=0, completion_tokens=0),
        *(spend_row(startTime=window(3) + number * timedelta(seconds=10), spend=1.0) for number in range(60)),
    )
    reconcile(environ, since="3h")
    assert _billed(lago) == 60

    proxy_db.insert(*(spend_row(startTime=window(3) + timedelta(minutes=11), spend=1.0) for _ in range(10)))
    partition_spend_logs(proxy_db.url)
    proxy_db.insert(spend_row(startTime=window(3) + timedelta(minutes=12), spend=1.0))
    swapped = reconcile(environ)
    assert (_billed(lago), _kinds(swapped)) == (Decimal(60), ["purged"])

    half = """INSERT INTO "LiteLLM_SpendLogs" SELECT * FROM "LiteLLM_SpendLogs_legacy"
              WHERE "startTime" < %s ON CONFLICT DO NOTHING"""
    proxy_db.fetch(half, (window(3) + timedelta(minutes=5)).replace(tzinfo=None))
    copying = reconcile(environ)
    assert _billed(lago) == 60
    assert copying.balance is not None
    assert (copying.balance.late_rows, copying.balance.late_cost) == (30, Decimal(0)), (
        "none of it is known to be unbilled"
    )
    late = next(alarm["message"] for alarm in copying.alarms if alarm["kind"] == "late")
    assert "at least 30 rows, and at least 0 USD that are not billed. Rows that were copied back are billed" in late

    proxy_db.fetch(half, "infinity")
    copied = reconcile(environ)
    assert (_billed(lago), copied.tally.rows, _kinds(copied)) == (Decimal(71), 11, ["purged"])
    assert _deep(proxy_db, environ).tally.rows == 0
    assert_exact(proxy_db, lago)


@pytest.mark.proof
def test_a_row_that_more_deletions_hide_is_reported(
    proxy_db: Database, ledger: Database, lago: Sandbox, environ: dict[str, str]
) -> None:
    """Its bucket has lost 15 rows: that one of the same customer and model has come since is all that can be told."""
    edge = _bill_around_an_edge(proxy_db, environ)
    billed = _billed(lago)
    _delete_before(proxy_db, edge + WINDOW)
    assert _kinds(_probe(ledger, environ)) == ["purged"]

    proxy_db.insert(spend_row(startTime=edge + timedelta(minutes=3), spend=0.001))
    seen = _probe(ledger, environ)

    assert seen.balance is not None
    assert (seen.balance.late_rows, seen.balance.late_cost) == (1, Decimal(0))
    assert (_kinds(seen), seen.exit_code) == (["late", "purged"], 3)
    assert _billed(lago) == billed
