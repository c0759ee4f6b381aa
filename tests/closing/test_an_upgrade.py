"""What was used up to the call is in the old invoice, what came after in the new subscription, and nothing twice."""

from datetime import timedelta
from decimal import Decimal

import pytest

from reconciler.lago.client import Lago
from reconciler.settings.load import load_settings
from reconciler.verify.explain import Explanation
from tests.closing.conftest import WINDOW, Billing, Clock, closed
from tests.conftest import Database, spend_row
from tests.periods.conftest import held, long_ago
from tests.support import assert_exact, environment, reconcile
from tests.verify.conftest import verify

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)


def begun(proxy_db: Database, billing: Billing) -> dict[str, str]:
    """A meter that has billed an hour, of a customer who is subscribed; what was never settled is written at once."""
    billing.subscribe(made=long_ago())
    return environment(proxy_db, billing.lago, RECONCILE_SETTLE="0s")


def test_an_upgrade_in_the_middle_of_a_window(proxy_db: Database, billing: Billing, clock: Clock) -> None:
    environ = begun(proxy_db, billing)
    called = clock.window + 7 * MINUTE
    proxy_db.insert(spend_row(spend=1, startTime=clock.window - MINUTE))
    clock.set(called)
    reconcile(environ, since="1h")
    proxy_db.insert(
        spend_row(spend=2, startTime=clock.window - MINUTE),
        spend_row(spend=4, startTime=called - MINUTE),
        spend_row(spend=8, startTime=called - SECOND, model="another"),
        spend_row(spend=16, startTime=called + 10 * SECOND),
        spend_row(spend=32, startTime=called - SECOND, end_user="other"),
    )
    found = closed(environ)
    assert (found.outcome, found.events, found.cost) == ("closed", 3, Decimal(14))
    billing.subscribe(plan="better")
    assert billing.invoiced() == [Decimal(15)]
    proxy_db.insert(spend_row(spend=64, startTime=called - SECOND))  # written later than the settle time
    clock.reset()
    assert reconcile(environ).delivered.accepted == 2
    assert (billing.invoiced(), billing.current()) == ([Decimal(15)], Decimal(80))
    assert_exact(proxy_db, billing.lago)


def test_the_window_ends_before_the_plan_changes(proxy_db: Database, billing: Billing, clock: Clock) -> None:
    environ = begun(proxy_db, billing)
    end = clock.window + WINDOW
    proxy_db.insert(spend_row(spend=1, startTime=end - MINUTE))
    clock.set(end - 20 * SECOND)
    reconcile(environ, since="1h")
    assert closed(environ).cost == 1
    proxy_db.insert(spend_row(spend=2, startTime=end - SECOND), spend_row(spend=4, startTime=end + SECOND))
    clock.set(end + 30 * SECOND)
    billing.subscribe(plan="better")
    assert billing.invoiced() == [Decimal(1)]
    clock.reset()
    reconcile(environ)
    assert held(proxy_db) == []
    assert billing.current() == 6
    # The rest was moved into the second in which the old subscription ended: verification counts it with the new one.
    assert [kind.name for leg in verify(environ).legs for kind in leg.sums if kind.drift] == []


@pytest.mark.proof
def test_again_in_the_same_window(proxy_db: Database, billing: Billing, clock: Clock) -> None:
    environ = begun(proxy_db, billing)
    clock.set(clock.window + 7 * MINUTE)
    reconcile(environ, since="1h")
    proxy_db.insert(spend_row(spend=4, startTime=clock.window + MINUTE))
    assert closed(environ).cost == 4
    again = closed(environ)
    assert (again.events, again.exit_code) == (0, 0)
    billing.subscribe(plan="better")
    clock.set(clock.window + 9 * MINUTE)
    proxy_db.insert(spend_row(spend=8, startTime=clock.window + 8 * MINUTE))
    assert closed(environ).cost == 8
    billing.end()
    assert billing.invoiced() == [Decimal(8), Decimal(4)]
    clock.reset()
    assert reconcile(environ).tally.events_planned == 0
    assert_exact(proxy_db, billing.lago)
    [statement] = Explanation(load_settings(environ=environ)).of("acme")
    assert [(each.outcome, each.events, each.cost) for each in statement.closings] == [
        ("closed", 1, Decimal(8)),
        ("closed", 0, Decimal(0)),
        ("closed", 1, Decimal(4)),
    ]


def test_a_replica_that_is_behind_is_waited_for(proxy_db: Database, billing: Billing, clock: Clock) -> None:
    environ = begun(proxy_db, billing)
    clock.set(clock.window + 7 * MINUTE)
    reconcile(environ, since="1h")
    clock.replays_after = SECOND
    proxy_db.insert(spend_row(spend=4, startTime=clock.now() - SECOND / 2))
    found = closed(environ)
    assert (found.outcome, found.cost) == ("closed", Decimal(4))


def test_a_lago_whose_clock_is_behind_is_waited_for(
    proxy_db: Database, billing: Billing, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the new plan would begin before what the old one is to bill."""
    environ = begun(proxy_db, billing)
    clock.set(clock.window + 7 * MINUTE)
    reconcile(environ, since="1h")
    proxy_db.insert(spend_row(spend=4, startTime=clock.window + MINUTE))
    monkeypatch.setattr(Lago, "clock", lambda _: billing.lago.now().replace(microsecond=0))
    billing.lago.set_clock(clock.now() - 2 * SECOND)
    assert closed(environ).cost == 4
    billing.subscribe(plan="better")
    assert billing.invoiced() == [Decimal(4)]
