"""A row that arrives after its window was billed becomes one more event of its bucket, whatever its age."""

from datetime import UTC, datetime, timedelta

import pytest

from reconciler.sandbox import Sandbox
from tests.conftest import Database, spend_row
from tests.looks.conftest import looked_at
from tests.support import assert_exact, let_time_pass, reconcile, window


def _revisions(ledger: Database) -> list[int]:
    return [revision for (revision,) in ledger.fetch("SELECT revision FROM reconciler.event ORDER BY revision")]


def test_rows_within_the_look_back_are_found_by_the_next_pass(
    proxy_db: Database, lago: Sandbox, environ: dict[str, str]
) -> None:
    """As late as a second, 40 minutes and an hour."""
    moments = [window(0) - late for late in (timedelta(seconds=1), timedelta(minutes=40), timedelta(hours=1))]
    proxy_db.insert(*(spend_row(startTime=moment) for moment in moments))
    reconcile(environ, since="2d")

    proxy_db.insert(*(spend_row(startTime=moment, spend=0.1) for moment in moments))
    found = reconcile(environ)

    assert (found.tally.rows, found.tally.events_planned, found.delivered.accepted) == (3, 3, 3)
    assert _revisions(proxy_db) == [0, 0, 0, 1, 1, 1]
    assert_exact(proxy_db, lago)
    again = reconcile(environ)
    assert (again.tally.events_planned, again.delivered.accepted) == (0, 0)


def test_older_rows_are_found_by_the_hourly_probe_and_billed_once(
    proxy_db: Database, lago: Sandbox, environ: dict[str, str]
) -> None:
    """Late by three hours and by 20 days; and one for a window that had none."""
    moments = [window() - timedelta(hours=3), window() - timedelta(days=20)]
    proxy_db.insert(*(spend_row(startTime=moment) for moment in moments))
    reconcile(environ, since="25d")

    proxy_db.insert(*(spend_row(startTime=moment + timedelta(seconds=1), spend=0.1) for moment in moments))
    proxy_db.insert(spend_row(startTime=window() - timedelta(days=10)))
    before_it_is_due = reconcile(environ)
    let_time_pass(proxy_db, "61 minutes")
    probed = reconcile(environ)
    let_time_pass(proxy_db, "61 minutes")
    probed_again = reconcile(environ)

    assert before_it_is_due.tally.events_planned == 0
    assert (probed.tally.rows, probed.tally.events_planned, probed.delivered.accepted) == (3, 3, 3)
    assert probed_again.tally.events_planned == 0
    assert _revisions(proxy_db) == [0, 0, 0, 1, 1]
    assert_exact(proxy_db, lago)


@pytest.mark.proof
def test_a_row_whose_spend_is_updated_from_zero_is_found_by_the_deep_look(
    proxy_db: Database, lago: Sandbox, environ: dict[str, str]
) -> None:
    moment = window() - timedelta(days=20)
    proxy_db.insert(spend_row(startTime=moment, spend=0.0), spend_row(startTime=moment - timedelta(days=1)))
    reconcile(environ, since="25d")

    proxy_db.fetch('UPDATE "LiteLLM_SpendLogs" SET spend = 0.0000135 WHERE spend = 0')
    let_time_pass(proxy_db, "61 minutes")
    probed = reconcile(environ)
    let_time_pass(proxy_db, "1 day")
    deep = reconcile(environ)

    assert probed.tally.events_planned == 0, "the count is the same: a probe can't see it"
    assert (deep.tally.events_planned, deep.delivered.accepted) == (1, 1)
    # The delta is money alone: the tokens were billed before.
    delta = "SELECT input_tokens, output_tokens, cost::text, requests FROM reconciler.event WHERE revision = 1"
    assert proxy_db.fetch(delta) == [(0, 0, "0.0000135", 0)]
    assert_exact(proxy_db, lago)


@pytest.mark.proof
def test_an_insert_that_a_delete_hides_from_the_count_is_found_by_the_deep_look(
    proxy_db: Database, lago: Sandbox, environ: dict[str, str]
) -> None:
    moment = window() - timedelta(days=20)
    proxy_db.insert(
        spend_row(startTime=moment - timedelta(days=1)),  # keeps the oldest row where it is: this is no retention
        spend_row(startTime=moment, end_user="globex", request_id="mistake"),
    )
    reconcile(environ, since="25d")

    proxy_db.fetch('DELETE FROM "LiteLLM_SpendLogs" WHERE request_id = %s', "mistake")
    proxy_db.insert(spend_row(startTime=moment, end_user="initech"))
    let_time_pass(proxy_db, "61 minutes")
    probed = reconcile(environ)
    let_time_pass(proxy_db, "1 day")
    deep = reconcile(environ)

    assert probed.tally.events_planned == 0
    assert (deep.tally.events_planned, deep.delivered.accepted) == (1, 1)
    assert [alarm["kind"] for alarm in deep.alarms] == ["frozen"], "what was deleted is shown, not credited"
    billed = {total["external_subscription_id"]: total["sums"]["response_cost"] for total in lago.totals()}
    assert billed == {"acme": "0.0000135", "globex": "0.0000135", "initech": "0.0000135"}


@pytest.mark.proof
def test_rows_stamped_tomorrow_wait_for_their_window(
    proxy_db: Database, lago: Sandbox, environ: dict[str, str]
) -> None:
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    proxy_db.insert(spend_row(startTime=tomorrow, request_id="tomorrow"), spend_row(startTime=window(2)))
    first = reconcile(environ, since="2d")
    let_time_pass(proxy_db, "2 days")
    deep = reconcile(environ)

    assert (first.tally.rows, deep.tally.rows) == (1, 0)
    assert first.watermark is not None
    assert first.watermark <= datetime.now(UTC)
    assert max(looked_at(proxy_db)) < datetime.now(UTC)
    assert_exact(proxy_db, lago)

    # Tomorrow comes.
    proxy_db.fetch(
        'UPDATE "LiteLLM_SpendLogs" SET "startTime" = %s WHERE request_id = %s',
        window().replace(tzinfo=None),
        "tomorrow",
    )
    assert reconcile(environ).tally.rows == 1
    assert_exact(proxy_db, lago)
