"""What the callback has billed is taken over, once; what it missed is billed; what it billed twice is said."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from reconciler.model.errors import LedgerError, ReconcileError, UsageError
from reconciler.model.windows import utc_text
from reconciler.sandbox import Sandbox
from reconciler.verify.cutover.callback import read
from tests.conftest import Database, spend_row
from tests.cutover.conftest import EDGE, all_of_it, cut_over, event_of, found, ours, row_at, send
from tests.periods.conftest import Billing, long_ago
from tests.process import run
from tests.support import CODE, environment, make_metric, reconcile
from tests.verify.conftest import kinds, leg, verify

BARE: dict[str, Any] = {"prompt_tokens": ..., "completion_tokens": ..., "total_tokens": ...}
"""What the callback leaves out of text completions and responses."""

QUARTER, MINUTE = Decimal("0.25"), timedelta(minutes=1)


def naive(moment: datetime) -> datetime:
    return moment.replace(tzinfo=None)


def since() -> str:
    return utc_text(EDGE - timedelta(hours=2))


def everything(source: Database) -> Decimal:
    [(cost,)] = source.fetch("""SELECT sum(spend::text::numeric) FROM "LiteLLM_SpendLogs" """)
    assert isinstance(cost, Decimal)
    return cost


def test_what_the_callback_missed_is_billed_and_nothing_twice(
    environ: dict[str, str], proxy_db: Database, lago: Sandbox
) -> None:
    billed, lost, text = row_at(5 * MINUTE), row_at(4 * MINUTE), row_at(3 * MINUTE, call_type="atext_completion")
    long = row_at(2 * MINUTE, endTime=(EDGE + 9 * MINUTE).replace(tzinfo=None))  # it ran at the instant
    tiny = row_at(40 * MINUTE, end_user="globex", spend=1.35e-07)
    messages = row_at(50 * MINUTE, call_type="anthropic_messages", model="anthropic/claude", spend=0.5)
    after = spend_row(startTime=EDGE + 3 * MINUTE, spend=0.125)
    proxy_db.insert(billed, lost, text, long, tiny, messages, after)
    send(lago, event_of(billed), event_of(text, **BARE), event_of(long), event_of(tiny))

    seen = cut_over(environ)
    assert found(seen) == {"taken over": (4, Decimal("0.750000135")), "missed": (2, Decimal("0.75"))}
    missed = {(each.model, each.call_type): each.requests for each in seen.by("model", "missed")}
    assert missed == {("openai/gpt-4o-mini", "acompletion"): 1, ("anthropic/claude", "anthropic_messages"): 1}

    reconcile(environ, since=since())
    assert ours(lago) == Decimal("0.875")
    assert all_of_it(lago) == everything(proxy_db)

    again = cut_over(environ)
    assert found(again) == {"taken before": (4, Decimal("0.750000135")), "missed": (2, Decimal("0.75"))}
    assert reconcile(environ, since=since()).tally.events_planned == 0
    assert proxy_db.fetch("SELECT count(*), sum(requests) FROM reconciler.takeover") == [(2, 4)]

    # A rebuilt ledger has our events, and what was taken over no more.
    proxy_db.fetch("TRUNCATE reconciler.takeover, reconciler.cutover, reconciler.callback_event")
    assert found(cut_over(environ)) == found(seen)
    assert reconcile(environ, since=since()).tally.events_planned == 0


def test_a_late_row_of_an_event_that_had_none_is_taken_over_by_the_next_run(
    environ: dict[str, str], proxy_db: Database, lago: Sandbox
) -> None:
    billed, late = row_at(5 * MINUTE), row_at(4 * MINUTE, end_user="globex")
    proxy_db.insert(billed)
    send(lago, event_of(billed), event_of(late))
    assert found(cut_over(environ)) == {"taken over": (1, QUARTER), "no row": (1, QUARTER)}
    proxy_db.insert(late)
    assert found(cut_over(environ)) == {"taken over": (1, QUARTER), "taken before": (1, QUARTER)}
    assert reconcile(environ, since=since()).tally.events_planned == 0


@pytest.mark.proof
def test_a_late_row_that_a_pass_has_billed_is_said_to_be_billed_doubly(
    environ: dict[str, str], proxy_db: Database, lago: Sandbox
) -> None:
    billed, late = row_at(5 * MINUTE), row_at(4 * MINUTE, end_user="globex")
    proxy_db.insert(billed)
    send(lago, event_of(billed), event_of(late))
    cut_over(environ)
    proxy_db.insert(late)
    reconcile(environ, since=since())
    assert found(cut_over(environ)) == {"taken before": (1, QUARTER), "doubled": (1, QUARTER)}


def test_what_was_retried_is_said_to_be_billed_twice_and_stays(
    environ: dict[str, str], proxy_db: Database, lago: Sandbox
) -> None:
    row = row_at(5 * MINUTE)
    proxy_db.insert(row)
    send(lago, event_of(row), event_of(row, late=30.0))
    seen = cut_over(environ)
    assert found(seen) == {"taken over": (1, QUARTER), "twice": (1, QUARTER)}
    assert [(each.customer, each.cost) for each in seen.by("customer", "twice")] == [("acme", QUARTER)]
    reconcile(environ, since=since())
    assert ours(lago) == 0


@pytest.mark.parametrize(
    ("more", "row", "kind"),
    [
        ({"RECONCILE_EXCLUDE": "team:internal"}, {"team_id": "internal"}, "left out"),
        ({}, {"startTime": None}, "after"),
        ({}, {"spend": -0.25}, "left out"),
    ],
)
def test_requests_that_are_not_this_cut_overs(
    more: dict[str, str], row: dict[str, Any], kind: str, proxy_db: Database, lago: Sandbox
) -> None:
    environ = environment(proxy_db, lago) | more
    reconcile(environ)
    if "startTime" in row:
        row = {"startTime": EDGE + MINUTE}
    nothing = spend_row(startTime=EDGE - MINUTE, spend=float("nan"))
    proxy_db.insert(nothing, one := spend_row(**{"startTime": EDGE - MINUTE, "spend": 0.25} | row))
    send(lago, event_of(one))
    assert found(cut_over(environ)) == {kind: (1, Decimal(str(one["spend"])))}
    if kind == "after":
        with pytest.raises(ReconcileError, match="callback has billed"):
            reconcile(environ, since=since())
        assert found(cut_over(environ, EDGE + 15 * MINUTE)) == {"taken over": (1, QUARTER)}
        assert reconcile(environ, since=since()).tally.events_planned == 0


@pytest.mark.parametrize(("field", "taken"), [("total_tokens", "missed"), ("response_cost", "taken over")])
def test_an_event_without_what_the_metric_sums_has_billed_nothing(
    field: str, taken: str, proxy_db: Database, lago: Sandbox
) -> None:
    lago.make_metric(CODE, field_name=field)
    environ = environment(proxy_db, lago)
    reconcile(environ)
    proxy_db.insert(row := row_at(MINUTE, call_type="aresponses"))
    send(lago, event_of(row, model=row["model_group"], **BARE))
    assert found(cut_over(environ))[taken] == (1, QUARTER)


@pytest.mark.parametrize("subscribed", [False, True])
def test_an_event_for_a_name_that_lago_does_not_have_has_billed_nothing_of_a_mapped_customer(
    subscribed: bool,
    proxy_db: Database,
    lago: Sandbox,
    billing: Billing,
) -> None:
    environ = environment(proxy_db, lago, RECONCILE_SUBSCRIPTION="litellm-{id}")
    reconcile(environ)
    if subscribed:
        billing.subscribe("acme", made=long_ago())
    proxy_db.insert(row := row_at(MINUTE))
    send(lago, event_of(row))
    whole = (1, QUARTER)
    expected = {"taken over": whole} if subscribed else {"missed": whole, "not counted": whole}
    assert found(cut_over(environ)) == expected
    assert not cut_over(environ, record=False).is_new
    assert cut_over(environ, since=EDGE - timedelta(hours=3), record=False).is_new, "though nothing more is taken over"
    if not subscribed:
        reconcile(environ, since=since())
        assert found(cut_over(environ)) == expected, "what was billed meanwhile is billed once"


def test_charge_by_and_a_code_of_its_own(proxy_db: Database, lago: Sandbox) -> None:
    environ = environment(proxy_db, lago, LAGO_API_CHARGE_BY="team_id", RECONCILE_MODEL_COLUMN="none")
    make_metric(lago, "litellm")
    reconcile(environ)
    proxy_db.insert(row := row_at(MINUTE))
    send(lago, event_of(row) | {"code": "litellm", "external_subscription_id": "team-a"})
    with pytest.raises(ReconcileError, match=r"no event of LiteLLM's callback under .* name that by --code"):
        cut_over(environ)
    assert found(cut_over(environ, code="litellm")) == {"taken over": (1, QUARTER)}
    with pytest.raises(UsageError, match="no billable metric with the code 'litelm'"):
        cut_over(environ, code="litelm")


@pytest.mark.proof
def test_a_ledger_elsewhere_and_a_clickhouse(proxy_db: Database, empty_db: Database) -> None:
    with Sandbox(store="clickhouse") as lago:
        lago.clickhouse(lag=0)
        environ = environment(proxy_db, lago, ledger=empty_db, RECONCILE_LAG="0s")
        reconcile(environ)
        proxy_db.insert(row := row_at(MINUTE, spend=1.35e-07), row_at(2 * MINUTE))
        send(lago, event_of(row))
        assert found(cut_over(environ)) == {"taken over": (1, Decimal("1.35E-7")), "missed": (1, QUARTER)}
        reconcile(environ, since=since())
        assert ours(lago) == QUARTER


def test_a_dry_run_writes_nothing(environ: dict[str, str], proxy_db: Database, lago: Sandbox) -> None:
    proxy_db.insert(row := row_at(MINUTE))
    send(lago, event_of(row))
    assert found(cut_over(environ, dry_run=True)) == {"taken over": (1, QUARTER)}
    assert proxy_db.fetch("SELECT count(*) FROM reconciler.callback_event") == [(0,)]
    assert found(cut_over(environ, record=False)) == {"taken over": (1, QUARTER)}
    assert proxy_db.fetch("SELECT count(*) FROM reconciler.takeover") == [(0,)]


def test_what_the_meter_has_billed_by_itself_is_refused(
    environ: dict[str, str], proxy_db: Database, lago: Sandbox
) -> None:
    proxy_db.insert(row := row_at(MINUTE))
    reconcile(environ, since=since())
    send(lago, event_of(row))
    with pytest.raises(ReconcileError, match=r"has billed by itself .* 1 request of 0.25 USD"):
        cut_over(environ)
    assert proxy_db.fetch("SELECT count(*) FROM reconciler.cutover") == [(0,)]


def test_another_since_is_refused_until_what_the_callback_has_billed_there_is_taken_over(
    proxy_db: Database, lago: Sandbox
) -> None:
    environ = environment(proxy_db, lago)
    before, running, after = row_at(200 * MINUTE), row_at(MINUTE, endTime=naive(EDGE + MINUTE)), row_at(-2 * MINUTE)
    proxy_db.insert(before, running, after)
    send(lago, event_of(before), event_of(running))
    for first in (EDGE - timedelta(hours=4), EDGE):
        with pytest.raises(ReconcileError, match=r"callback has billed .* run `reconcile cutover` first"):
            reconcile(environ, since=utc_text(first))
    assert proxy_db.fetch("SELECT count(*) FROM reconciler.meter") == [(0,)]
    reconcile(environ)
    with pytest.raises(ReconcileError, match="callback has billed"):
        reconcile(environ, since=since(), dry_run=True)

    assert found(cut_over(environ)) == {"taken over": (1, QUARTER)}
    with pytest.raises(ReconcileError, match="callback has billed"):
        reconcile(environ, since=utc_text(EDGE - timedelta(hours=4)))
    with pytest.raises(ReconcileError, match=rf"ended at {utc_text(EDGE)}, .* which --since leaves out"):
        reconcile(environ, since=utc_text(EDGE + 15 * MINUTE))
    reconcile(environ, since=since())
    reconcile(environ, since=utc_text(EDGE + 15 * MINUTE))
    assert ours(lago) == QUARTER
    assert all_of_it(lago) == everything(proxy_db)


def test_a_request_that_ended_a_moment_ago_is_matched_and_one_without_an_event_is_waited_for(
    environ: dict[str, str], proxy_db: Database, lago: Sandbox
) -> None:
    just_now = naive(datetime.now(UTC) - timedelta(seconds=5))
    proxy_db.insert(row := row_at(MINUTE, endTime=just_now))
    send(lago, event_of(row))
    assert found(cut_over(environ)) == {"taken over": (1, QUARTER)}
    proxy_db.insert(row_at(MINUTE, endTime=just_now, spend=0.5))
    with pytest.raises(ReconcileError, match=r"1 request from before --at ended a moment ago .* Run this again after"):
        cut_over(environ)


@pytest.mark.parametrize("text", ["a\x00b", "a\ud800b", "x" * 3000])
def test_an_event_for_a_name_that_no_database_takes_is_left_alone(text: str) -> None:
    shown = event_of(row_at(MINUTE)) | {"timestamp": "2026-11-24T12:00:00.000Z"}
    assert read(shown | {"external_subscription_id": text}) is None
    taken = read(shown | {"properties": shown["properties"] | {"model": text}})
    assert taken is not None
    assert taken.model == ""


def test_events_that_do_not_fit_the_rows_are_refused(
    environ: dict[str, str], proxy_db: Database, lago: Sandbox
) -> None:
    rows = [row_at(MINUTE * number) for number in (5, 6, 7)]
    proxy_db.insert(*rows)
    send(lago, *(event_of(row) | {"external_subscription_id": "u-1"} for row in rows))
    with pytest.raises(ReconcileError, match="does not fit the spend table: 3 of its events have no row, and 3 rows"):
        cut_over(environ)


def test_another_instant_is_refused(environ: dict[str, str]) -> None:
    nearest = f"{utc_text(EDGE)} or {utc_text(EDGE + 15 * MINUTE)}"
    with pytest.raises(UsageError, match=f"no window's edge: write {nearest}"):
        cut_over(environ, EDGE + 7 * MINUTE)
    with pytest.raises(UsageError, match="is not settled yet"):
        cut_over(environ, EDGE + timedelta(days=1))
    with pytest.raises(UsageError, match="leaves no window"):
        cut_over(environ, EDGE, EDGE)


@pytest.mark.no_ledger
def test_a_meter_that_is_not_there_yet(proxy_db: Database, lago: Sandbox) -> None:
    with pytest.raises(LedgerError, match="run `reconcile`"):
        cut_over(environment(proxy_db, lago))


@pytest.mark.proof
def test_all_that_sums_knows_what_was_taken_over(
    billing: Billing, environ: dict[str, str], proxy_db: Database, lago: Sandbox
) -> None:
    billing.subscribe("acme", made=long_ago())
    billed, lost, twice = row_at(5 * MINUTE), row_at(4 * MINUTE, spend=0.5), row_at(3 * MINUTE, end_user="globex")
    proxy_db.insert(billed, lost, twice)
    send(lago, event_of(billed), event_of(twice), event_of(twice, late=2.0))
    cut_over(environ)
    reconcile(environ, since=since())

    report = verify(environ)
    assert kinds(leg(report, "b")) == {}
    assert kinds(leg(report, "c")) == {"taken over": 2, "billed twice, by LiteLLM's callback": 1}
    counted = leg(report, "d")
    assert kinds(counted) == {"no subscription": 1}, "acme's: Lago counts the callback's event and ours"

    meter = json.loads(run(environ, "status", "--json").stdout)["meters"][0]
    assert (meter["requests_taken_over"], meter["cost_taken_over"]) == (2, "0.5")
    lines = json.loads(run(environ, "customers", "--json").stdout)["customers"]
    assert {line["customer"]: (line["cost"], line["taken_over_cost"]) for line in lines} == {
        "acme": ("0.5", "0.25"), "globex": ("0", "0.25"),
    }  # fmt: skip
    said = run(environ, "explain", "acme").stdout
    assert "events 0.5 USD + taken over of LiteLLM's callback 0.25 USD - credits 0 USD = 0.75 USD billed" in said
    assert "Lago counts exactly what was sent" in said

    proxy_db.fetch("""DELETE FROM "LiteLLM_SpendLogs" WHERE end_user = 'globex'""")
    told = json.loads(run(environ, "explain", "globex", "--json").stdout)["meters"][0]
    assert (told["total"]["billed_cost"], told["subscriptions"]) == ("0.25", ["globex"]), "though no row is left"
    reconcile(environ, since=since())
    [frozen] = json.loads(run(environ, "frozen", "--json").stdout)["frozen"]
    assert (frozen["billed_cost"], frozen["cost"]) == ("0.25", "0.25")
    run(environ, "frozen", "accept", frozen["id"], "--reason", "credited")
    assert json.loads(run(environ, "frozen", "--json").stdout)["frozen"] == []


@pytest.mark.proof
def test_the_command(environ: dict[str, str], proxy_db: Database, lago: Sandbox) -> None:
    row, lost = row_at(MINUTE), row_at(2 * MINUTE, call_type="anthropic_messages", spend=0.5)
    proxy_db.insert(row, lost)
    send(lago, event_of(row), event_of(row, late=3.0))
    asked = "cutover", "--at", utc_text(EDGE)
    declined = run(environ, *asked)
    assert (declined.returncode, proxy_db.fetch("SELECT count(*) FROM reconciler.takeover")) == (1, [(0,)])
    assert "Nothing was recorded. Add --yes" in declined.stderr
    dry = run(environ, *asked, "--dry-run")
    assert (dry.returncode, dry.stdout.splitlines()[-1]) == (3, "Nothing was written.")
    done = run(environ, *asked, "--yes")
    assert done.returncode == 3
    assert f"`reconcile --since {since()}` bills what the callback missed" in done.stdout
    assert "anthropic_messages" in done.stdout
    assert "! twice: 1 request, 0.25 USD" in done.stderr
    again = json.loads(run(environ, *asked, "--yes", "--json").stdout)
    [one] = again["meters"]
    assert (again["exit_code"], one["recorded"], one["callback_events"]) == (3, True, 2)
    assert one["found"] == [
        {"kind": kind, "requests": 1, "input_tokens": 10, "output_tokens": 20, "cost": cost}
        for kind, cost in (("taken before", "0.25"), ("missed", "0.5"), ("twice", "0.25"))
    ]
    wrong = run(environ, "cutover", "--at", utc_text(EDGE + MINUTE), "--json")
    assert (wrong.returncode, json.loads(wrong.stdout)["exit_code"]) == (2, 2)
