"""A ledger older than Lago's events is noticed before it does harm, and a rebuild makes it whole. Invariant 11."""

from collections.abc import Iterator

import pytest

from reconciler.sandbox import Sandbox
from tests import process
from tests.conftest import Database, spend_row
from tests.meters.conftest import backup
from tests.rebuild.conftest import rebuild, taken
from tests.support import CODE, STORES, assert_exact, environment, reconcile, states, window


@pytest.fixture(params=["postgres", *(pytest.param(store, marks=pytest.mark.proof) for store in [*STORES][1:])])
def older(request: pytest.FixtureRequest, proxy_db: Database, empty_db: Database) -> Iterator["Older"]:
    """On each store: a ledger as it was before a late row was billed, in a window about which it has asked."""
    options, more = STORES[request.param]
    with Sandbox(**options) as lago:
        if options:
            lago.clickhouse(lag=0)
            more = more | {"RECONCILE_LAG": "0s"}
        newest = environment(proxy_db, lago, ledger=empty_db) | more
        proxy_db.insert(spend_row(startTime=window(2)), spend_row(startTime=window(2), end_user="globex"))
        reconcile(newest, since="5h")
        with backup(empty_db) as restored:
            proxy_db.insert(spend_row(startTime=window(2), spend=0.5))
            reconcile(newest)
            # To the older ledger both late rows are one revision; Lago holds another event under its id.
            proxy_db.insert(spend_row(startTime=window(2), spend=0.25))
            proxy_db.insert(spend_row(startTime=window(2), spend=0.125, end_user="globex"))
            yield Older(proxy_db, restored, lago, newest | {"RECONCILE_LEDGER_URL": restored.url})


class Older:
    def __init__(self, source: Database, ledger: Database, lago: Sandbox, environ: dict[str, str]) -> None:
        self.source = source
        self.ledger = ledger
        self.lago = lago
        self.environ = environ


@pytest.mark.proof
def test_it_stops_in_a_window_that_it_has_delivered_for_and_is_rebuilt(older: Older) -> None:
    events = older.lago.events()
    for _ in range(2):
        stopped = process.run(older.environ, "--json")
        [meter] = process.only_object(stopped)["meters"]
        assert (stopped.returncode, meter["events_accepted"], meter["events_quarantined"]) == (3, 0, 0)
        [alarm] = meter["alarms"]
        assert alarm["kind"] == "foreign"
        assert "restored from a backup" in alarm["message"]
        assert "run `reconcile rebuild --since " in alarm["message"]
        assert older.lago.events() == events
    assert states(older.ledger) == {"accepted": 2, "planned": 2}

    done = process.run(older.environ, "rebuild", "--since", alarm["message"].partition("--since ")[2][:16], "--yes")
    assert done.returncode == 0, done.stderr
    assert "planned otherwise: as Lago holds them" in done.stdout
    healthy = reconcile(older.environ)
    assert (healthy.exit_code, healthy.delivered.accepted) == (0, 2)
    assert_exact(older.source, older.lago, ledger=older.ledger)


@pytest.mark.proof
def test_rebuilt_at_once_it_goes_on_without_a_word(older: Older) -> None:
    assert taken(rebuild(older.environ)) == {"added": 1, "known": 2}
    assert reconcile(older.environ).delivered.accepted == 2
    assert_exact(older.source, older.lago, ledger=older.ledger)


@pytest.mark.proof
def test_an_older_state_in_its_place_is_noticed_by_what_lago_calls_a_duplicate(
    proxy_db: Database, lago: Sandbox
) -> None:
    """A snapshot of the machine leaves no trace in the ledger; Lago's Postgres store refuses what it has."""
    environ = environment(proxy_db, lago)
    proxy_db.insert(spend_row(startTime=window(2)))
    reconcile(environ, since="5h")
    proxy_db.insert(spend_row(startTime=window(2), spend=0.5))
    reconcile(environ)
    proxy_db.fetch("DELETE FROM reconciler.batch WHERE id IN (SELECT batch FROM reconciler.event WHERE revision = 1)")
    proxy_db.fetch("DELETE FROM reconciler.event WHERE revision = 1")
    proxy_db.insert(spend_row(startTime=window(2), spend=0.25))
    for _ in range(2):
        stopped = reconcile(environ)
        assert [alarm["kind"] for alarm in stopped.alarms] == ["foreign"]
        assert stopped.alarms[0]["id"] == 1, "it is one alarm"
    rebuild(environ)
    assert reconcile(environ).exit_code == 0
    assert_exact(proxy_db, lago)


@pytest.mark.proof
def test_on_any_store_it_is_noticed_after_an_hour(proxy_db: Database, clickhouse: Sandbox) -> None:
    """A store that takes what it has calls nothing a duplicate."""
    clickhouse.clickhouse(lag=0)
    environ = environment(proxy_db, clickhouse, RECONCILE_LAG="0s")
    proxy_db.insert(spend_row(startTime=window(2)))
    reconcile(environ, since="5h")
    proxy_db.insert(spend_row(startTime=window(2), spend=0.5))
    reconcile(environ)
    proxy_db.fetch("DELETE FROM reconciler.batch WHERE id IN (SELECT batch FROM reconciler.event WHERE revision = 1)")
    proxy_db.fetch("DELETE FROM reconciler.event WHERE revision = 1")
    proxy_db.fetch("UPDATE reconciler.meter SET placed_at = placed_at - interval '2 hours'")
    proxy_db.insert(spend_row(startTime=window(2), spend=0.25))
    assert [alarm["kind"] for alarm in reconcile(environ).alarms] == ["foreign"]
    rebuild(environ)
    assert reconcile(environ).exit_code == 0
    assert_exact(proxy_db, clickhouse, code=CODE)
