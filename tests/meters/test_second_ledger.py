"""A second ledger, or one restored from a backup, finds in Lago what it does not know and stops. Invariant 11."""

from decimal import Decimal

import pytest

from reconciler.sandbox import Sandbox
from tests.commands import run
from tests.conftest import Database, spend_row
from tests.meters.conftest import backup
from tests.process import only_object
from tests.support import assert_exact, counted, environment, reconcile, window


def _cost(lago: Sandbox) -> Decimal:
    return sum((usage.cost for usage in counted(lago).values()), Decimal())


@pytest.mark.proof
def test_a_second_ledger_is_stopped_and_says_the_choices(
    proxy_db: Database, ledger: Database, other_ledger: Database, lago: Sandbox
) -> None:
    first = environment(proxy_db, lago, ledger=ledger)
    proxy_db.insert(spend_row(startTime=window(3)), spend_row(startTime=window(2), end_user="globex"))
    reconcile(first, since="1d")
    proxy_db.insert(spend_row(startTime=window(3)), spend_row(startTime=window(2), end_user="initech"))
    reconcile(first)
    events = lago.events()

    second = environment(proxy_db, lago, ledger=other_ledger)
    stopped = run(second, "--since", "1d")

    assert stopped.returncode == 3
    assert lago.events() == events
    assert "Lago holds 2 or more events of meter 'default' that this ledger does not know" in stopped.stderr
    assert (
        "Nothing more is sent for this meter. Choose: point RECONCILE_LEDGER_URL at the newest ledger" in stopped.stderr
    )
    assert "give it its own RECONCILE_METER" in stopped.stderr

    # It stays so, also for windows that Lago knows nothing of, until the choice is made.
    proxy_db.insert(spend_row(startTime=window(1), end_user="new"))
    again = run(second, "--json")
    [meter] = only_object(again)["meters"]
    assert (again.returncode, meter["events_accepted"]) == (3, 0)
    assert [alarm["kind"] for alarm in meter["alarms"]] == ["foreign"]
    assert lago.events() == events

    reconcile(first)
    assert_exact(proxy_db, lago, ledger=ledger)


@pytest.mark.proof
def test_a_lost_ledger_whose_events_come_out_the_same_goes_on_exactly(
    proxy_db: Database, ledger: Database, other_ledger: Database, lago: Sandbox
) -> None:
    proxy_db.insert(*(spend_row(startTime=window(back), end_user=f"c{back}") for back in range(2, 40)))
    reconcile(environment(proxy_db, lago, ledger=ledger), since="1d")
    count = len(lago.events())
    proxy_db.insert(spend_row(startTime=window(1)))

    rebuilt = reconcile(environment(proxy_db, lago, ledger=other_ledger), since="1d")

    assert rebuilt.exit_code == 0
    assert len(lago.events()) == count + 1, "what Lago had is fetched, compared and taken as accepted"
    assert_exact(proxy_db, lago, ledger=other_ledger)


@pytest.mark.proof
def test_a_restored_older_ledger_is_stopped_and_the_newest_goes_on(
    proxy_db: Database, ledger: Database, lago: Sandbox
) -> None:
    environ = environment(proxy_db, lago, ledger=ledger)
    proxy_db.insert(spend_row(startTime=window(5)))
    reconcile(environ, since="1d")
    with backup(ledger) as restored:
        # Billing went on after the backup: a new window, and then a late row for it.
        for _ in range(2):
            proxy_db.insert(spend_row(startTime=window(2), spend=0.5))
            reconcile(environ)
        proxy_db.insert(spend_row(startTime=window(1), spend=0.25))
        events = lago.events()

        back = run(environment(proxy_db, lago, ledger=restored))
        assert back.returncode == 3
        assert "the ledger was lost or restored from a backup" in back.stderr
        assert lago.events() == events

    reconcile(environ)
    assert_exact(proxy_db, lago, ledger=ledger)


@pytest.mark.proof
def test_two_ledgers_that_take_turns_never_bill_twice(
    proxy_db: Database, ledger: Database, other_ledger: Database, lago: Sandbox
) -> None:
    first = environment(proxy_db, lago, ledger=ledger)
    second = environment(proxy_db, lago, ledger=other_ledger)
    for environ in (first, second):
        reconcile(environ, since="1d")
    for number in range(6):
        proxy_db.insert(
            *(spend_row(startTime=window(back), end_user=f"c{number % 3}", spend=0.01) for back in range(1, 4))
        )
        reconcile((first, second)[number % 2])
        used = proxy_db.fetch('SELECT sum(spend::text::numeric) FROM "LiteLLM_SpendLogs"')[0][0]
        assert _cost(lago) <= used
    ids = [event["transaction_id"] for event in lago.events()]
    assert len(ids) == len(set(ids))


def test_a_ledger_that_moves_to_another_database_goes_on_exactly_and_the_one_left_behind_stops(
    proxy_db: Database, ledger: Database, lago: Sandbox
) -> None:
    old = environment(proxy_db, lago, ledger=ledger)
    proxy_db.insert(spend_row(startTime=window(3)), spend_row(startTime=window(2), end_user="globex"))
    reconcile(old, since="1d")
    with backup(ledger) as moved:
        proxy_db.insert(spend_row(startTime=window(3), spend=0.5), spend_row(startTime=window(1)))
        went_on = reconcile(old | {"RECONCILE_LEDGER_URL": moved.url})
        assert (went_on.exit_code, went_on.delivered.accepted) == (0, 2)
        assert_exact(proxy_db, lago, ledger=moved)
    events = lago.events()
    proxy_db.insert(spend_row(startTime=window(3), spend=0.25))
    stopped = reconcile(old)
    assert (stopped.exit_code, [alarm["kind"] for alarm in stopped.alarms]) == (3, ["foreign"])
    assert lago.events() == events
