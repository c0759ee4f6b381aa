"""Two meters that would bill the same rows under one code of one organization are refused. Invariant 10."""

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import pytest

from reconciler.model.errors import LagoError, MeterChangedError
from reconciler.model.terms import Terms
from reconciler.sandbox import Sandbox
from tests.conftest import Database, spend_row
from tests.support import assert_exact, batches, environment, make_metric, reconcile, window

OTHER_KEY = "11111111-1111-4111-8111-111111111111"
REFUSED = "Meter '{}' would bill what meter '{}' bills already"


def names(ledger: Database) -> list[str]:
    return [name for (name,) in ledger.fetch("SELECT name FROM reconciler.meter ORDER BY 1")]


def terms(charge_by: str = "end_user_id", *exclude: str, code: str = "code") -> Terms:
    return Terms(code, charge_by, 900, "model", True, exclude)


@pytest.mark.parametrize(
    ("one", "other", "shared"),
    [
        (terms(), terms(), True),
        (terms(), terms(code="another"), False),
        (terms(), terms("team_id"), True),
        (terms("end_user_id", "team:internal"), terms("team_id"), True),
        (terms("end_user_id", "team:internal"), terms("end_user_id", "team:external"), True),
        (terms("end_user_id", "model:*"), terms(), True),
        (terms("end_user_id", "key:*"), terms("user_id"), True),
        (terms("end_user_id", "team:*"), terms("team_id"), False),
        (terms("end_user_id", "user:**", "team:x"), terms("user_id"), False),
        (terms("end_user_id", "team:*"), terms("user_id"), True),
        (terms("team_id", "customer:*"), terms(), False),
    ],
)
def test_meters_share_usage_unless_one_leaves_all_that_the_other_may_bill_to_it(
    one: Terms, other: Terms, shared: bool
) -> None:
    assert one.may_share_usage(other) == other.may_share_usage(one) == shared


def test_two_meters_on_one_code_planned_while_lago_refuses_are_one(proxy_db: Database, lago: Sandbox) -> None:
    """The first has planned and sent nothing: it is refused all the same, whoever the second charges."""
    proxy_db.insert(spend_row(), spend_row(model="m"))
    environ = environment(proxy_db, lago)
    lago.faults({"kind": "status", "status": 401, "count": None})
    with pytest.raises(LagoError, match="401"):
        reconcile(environ, since="2h")
    for more in ({}, {"LAGO_API_CHARGE_BY": "user_id"}, {"RECONCILE_EXCLUDE": "team:internal"}):
        with pytest.raises(MeterChangedError, match=REFUSED.format("b", "default")):
            reconcile(environ | {"RECONCILE_METER": "b"} | more, since="2h")
        with pytest.raises(MeterChangedError, match=REFUSED.format("b", "default")):
            reconcile(environ | {"RECONCILE_METER": "b"} | more, dry_run=True)
    lago.clear_faults()
    reconcile(environ)
    assert names(proxy_db) == ["default"]
    assert_exact(proxy_db, lago)


def test_two_meters_that_begin_at_once_on_an_empty_ledger_leave_exactly_one(proxy_db: Database, lago: Sandbox) -> None:
    proxy_db.insert(spend_row())
    environ = environment(proxy_db, lago)

    def begin(name: str) -> MeterChangedError | None:
        try:
            reconcile(environ | {"RECONCILE_METER": name}, since="2h")
        except MeterChangedError as refused:
            return refused
        return None

    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'reconciler.terms'::regclass"
    with ThreadPoolExecutor(2) as pool:
        with proxy_db.connect(autocommit=False) as held:
            held.execute("LOCK TABLE reconciler.terms IN SHARE ROW EXCLUSIVE MODE")
            done = [pool.submit(begin, name) for name in ("a", "b")]
            while proxy_db.fetch(waiting) != [(2,)]:
                assert not any(each.done() for each in done)
                time.sleep(0.01)
        refused = [error for each in done if (error := each.result())]
    [sentence] = [str(error) for error in refused]
    [name] = names(proxy_db)
    assert f"bill what meter {name!r} bills already" in sentence
    assert_exact(proxy_db, lago, meter=name)


def test_a_meter_that_leaves_the_others_usage_to_it_is_no_twin(proxy_db: Database, lago: Sandbox) -> None:
    proxy_db.insert(spend_row(team_id="t"), spend_row(team_id=None), spend_row(team_id=None, end_user=None))
    environ = environment(proxy_db, lago)
    reconcile(environ | {"RECONCILE_METER": "teams", "LAGO_API_CHARGE_BY": "team_id"}, since="2h")
    reconcile(environ | {"RECONCILE_METER": "customers", "RECONCILE_EXCLUDE": "team:*"}, since="2h")
    assert sorted(event["external_subscription_id"] for event in lago.events()) == ["acme", "t"]


def test_a_running_meter_does_not_become_a_twin_by_another_code(proxy_db: Database, lago: Sandbox) -> None:
    environ = environment(proxy_db, lago)
    other = environ | {"RECONCILE_METER": "b", "LAGO_API_EVENT_CODE": "another"}
    make_metric(lago, "another")
    proxy_db.insert(spend_row(startTime=window(2)))
    for each in (environ, other):
        reconcile(each, since="1d")
    before = proxy_db.fetch("SELECT * FROM reconciler.terms ORDER BY meter, since")

    with pytest.raises(MeterChangedError, match=REFUSED.format("b", "default")) as refused:
        reconcile(other | {"LAGO_API_EVENT_CODE": environ["LAGO_API_EVENT_CODE"]}, adopt=True)
    assert "make the second a meter of its own" in str(refused.value)
    assert proxy_db.fetch("SELECT * FROM reconciler.terms ORDER BY meter, since") == before
    assert reconcile(other).error is None


@pytest.mark.proof
def test_a_running_meter_does_not_become_a_twin_by_another_lago(proxy_db: Database, lago: Sandbox) -> None:
    """Each of the two meters was right as long as it sent to its own."""
    proxy_db.insert(spend_row(startTime=window(2)))
    reconcile(environment(proxy_db, lago), since="1d")
    with Sandbox(api_key=OTHER_KEY) as other_lago:
        reconcile(environment(proxy_db, other_lago, RECONCILE_METER="b"), since="1d")
        assert len(other_lago.events()) == 1
    with pytest.raises(MeterChangedError, match=REFUSED.format("b", "default")):
        reconcile(environment(proxy_db, lago, RECONCILE_METER="b"), adopt=True)
    assert len(lago.events()) == 1


def test_one_organization_by_two_addresses_is_one(proxy_db: Database, lago: Sandbox) -> None:
    """Which organization a key is one of, Lago tells before anything is sent."""
    proxy_db.insert(spend_row(startTime=window(2)))
    environ = environment(proxy_db, lago)
    reconcile(environ, since="1d")
    lago.clear_requests()
    elsewhere = environ | {"RECONCILE_METER": "b", "LAGO_API_BASE": lago.url.replace("127.0.0.1", "localhost")}
    for since in ("1d", None):
        with pytest.raises(MeterChangedError, match=REFUSED.format("b", "default")) as refused:
            reconcile(elsewhere, since=since)
        assert "Nothing was sent" in str(refused.value)
    assert batches(lago) == []
    reconcile(environ)
    assert_exact(proxy_db, lago, undelivered=0)


@pytest.mark.proof
def test_two_organizations_at_one_address_are_declared_once(proxy_db: Database) -> None:
    """The key alone tells them apart, and Lago is asked about it only when there is something to send."""
    with Sandbox(other_api_keys=[OTHER_KEY]) as lago:
        environ = environment(proxy_db, lago)
        make_metric(lago, api_key=OTHER_KEY)
        other = environ | {"RECONCILE_METER": "b", "LAGO_API_KEY": OTHER_KEY}
        proxy_db.insert(spend_row(startTime=window(2)))
        reconcile(environ, since="1d")
        with pytest.raises(MeterChangedError, match="or LAGO_API_KEY is one of another organization"):
            reconcile(other, since="1d")
        reconcile(other, since="1d", adopt=True)
        assert reconcile(other).error is None
        assert (len(lago.events()), len(lago.events(OTHER_KEY))) == (1, 1)

        # With the first one's key it would be a twin, declared or not.
        with pytest.raises(MeterChangedError, match=REFUSED.format("b", "default")):
            reconcile(environ | {"RECONCILE_METER": "b"}, adopt=True)


@pytest.mark.proof
def test_a_meter_that_takes_over_a_code_is_refused_only_where_the_other_billed_by_it(
    proxy_db: Database, lago: Sandbox
) -> None:
    environ = environment(proxy_db, lago)
    make_metric(lago, "another")
    boundary = window(4)
    proxy_db.insert(spend_row(startTime=window(6)), spend_row(startTime=window(2)))
    reconcile(environ, since=boundary.isoformat())
    _hand_over(proxy_db, boundary, was="openai_tokens", now="another")
    _hand_over_start(proxy_db, boundary - timedelta(days=1))
    successor = environ | {"RECONCILE_METER": "b"}

    reconcile(successor, since=boundary.isoformat())
    for until in (None, window(7).isoformat()):
        with pytest.raises(MeterChangedError, match=REFUSED.format("b", "default")) as refused:
            reconcile(successor, since=window(8).isoformat(), until=until)
        assert "a later --since" in str(refused.value)
    assert _billed_by(lago) == {"default": 1, "b": 1}
    reconcile(successor, since=window(8).isoformat(), adopt=True)
    assert _billed_by(lago) == {"default": 1, "b": 2}


def _hand_over(ledger: Database, boundary: datetime, *, was: str, now: str) -> None:
    """As if the meter had adopted another code at the boundary."""
    ledger.fetch(
        """INSERT INTO reconciler.terms
           SELECT meter, %s, %s, charge_by, window_seconds, model_column, cache_hits, exclude
           FROM reconciler.terms WHERE code = %s""",
        boundary,
        now,
        was,
    )


def _hand_over_start(ledger: Database, start: datetime) -> None:
    """As if it had billed before."""
    ledger.fetch("UPDATE reconciler.meter SET start = %s WHERE name = 'default'", start)


def _billed_by(lago: Sandbox) -> dict[str, int]:
    return Counter(event["properties"]["meter"] for event in lago.events())


@pytest.mark.proof
def test_a_meter_declared_once_is_not_asked_about_again(proxy_db: Database, lago: Sandbox) -> None:
    proxy_db.insert(spend_row(startTime=window(2)))
    environ = environment(proxy_db, lago)
    reconcile(environ, since="1d")
    twin = environ | {"RECONCILE_METER": "b"}
    reconcile(twin, since="1d", adopt=True)
    assert reconcile(twin).error is None
    assert reconcile(twin, since="1d").error is None
    assert len(lago.events()) == 2
