"""Each check of the doctor's, by the facts that it decides on: as it should be, and in each way that it is not."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from reconciler.lago.organization import Organization
from reconciler.ledger.schema import HEAD
from reconciler.report.unbillable import Outlook, Unbillable, Unknown
from reconciler.report.usage import Usage
from reconciler.settings.load import load_settings
from reconciler.verify.doctor.asking.source import scans
from reconciler.verify.doctor.billing import billing_checks
from reconciler.verify.doctor.check import Check, Mark, Untold, completed, exit_code
from reconciler.verify.doctor.lago import WITHOUT, Arrived, Foreign, LagoFacts, lago_checks
from reconciler.verify.doctor.ledger import ledger_checks, mapping_checks
from reconciler.verify.doctor.ledger_facts import Compared, LedgerFacts, OfMeter, Other, Rights, Runs
from reconciler.verify.doctor.questions import BY_NAME, QUESTIONS
from reconciler.verify.doctor.run import settings_checks
from reconciler.verify.doctor.source import source_checks
from reconciler.verify.doctor.source_facts import Billing, Layout, Rows, Scan, Server, SourceFacts, Table
from reconciler.verify.producers import CALLBACK, LEDGER, METER

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
UNTOLD = Untold("a sentence that says why")

ENVIRON = {
    "DATABASE_URL": "postgresql://r@db/litellm",
    "LAGO_API_BASE": "https://lago.example.com",
    "LAGO_API_KEY": "key",
    "LAGO_API_EVENT_CODE": "llm_usage",
}
SETTINGS = load_settings(environ=ENVIRON)

SERVER = Server("18.0", is_replica=False, behind=None, is_read_only=False, role="reconciler", now=NOW)
LAYOUT = Layout(5000, partitions=0, is_hidden=False, may_write=False, is_indexed=True, has_legacy=False)
TABLE = Table("litellm, schema 'public'", frozenset({"status", "created_at"}), NOW, LAYOUT)
SOURCE = SourceFacts(
    "DATABASE_URL (db)",
    SERVER,
    here=NOW,
    table=TABLE,
    columns={"default": None},
    scans=[Scan("LiteLLM_SpendLogs", is_indexed=True, cost=8.0)],
    verdicts={"default": {"billable": Rows(10, Decimal(1))}},
    oldest=NOW - 60 * DAY,
    newest=NOW - MINUTE,
)
BILLING = Billing(horizon=35 * DAY, one_database=True)

RUNS = Runs(288, NOW - MINUTE, "done", usually=5 * MINUTE, longest=6 * MINUTE)
OF_METER = OfMeter(is_known=True, compared=Compared(None, ()), runs=RUNS, watermark=NOW - HOUR, organization="org")
RIGHTS = Rights(is_there=True, may_make=True, may_compare=True, lacking=[])
LEDGER_FACTS = LedgerFacts(
    "DATABASE_URL (db)", SERVER, mapping={}, head=HEAD, version=HEAD, rights=RIGHTS, meters={"default": OF_METER}
)

METRIC = {"aggregation_type": "sum_agg", "field_name": "response_cost"}
LAGO = LagoFacts(
    "https://lago.example.com",
    organization=Organization("org", "postgres", "UTC"),
    may=dict.fromkeys(WITHOUT, True),
    store="postgres",
    ahead=timedelta(seconds=1),
    metrics={"default": METRIC},
    outlook=Outlook(),
    arrived={"default": Arrived([])},
)


def of_source(billing: Billing = BILLING, **facts: Any) -> list[Check]:
    return list(source_checks(replace(SOURCE, **facts), billing))


def of_table(**layout: Any) -> list[Check]:
    return of_source(table=replace(TABLE, layout=replace(LAYOUT, **layout)))


def of_server(*, one_database: bool = True, **server: Any) -> list[Check]:
    return of_source(replace(BILLING, one_database=one_database), server=replace(SERVER, **server))


def of_ledger(**facts: Any) -> list[Check]:
    found = replace(LEDGER_FACTS, **facts)
    return [*mapping_checks(found, has_mapping=bool(found.mapping)), *ledger_checks(found)]


def of_meter(**facts: Any) -> list[Check]:
    return of_ledger(meters={"default": replace(OF_METER, **facts)})


def of_runs(**runs: Any) -> list[Check]:
    return of_meter(runs=replace(RUNS, **runs))


def of_lago(*, deduplication: bool = False, **facts: Any) -> list[Check]:
    found = replace(LAGO, **facts)
    return [
        *lago_checks(found, {"default": "org"}, deduplication=deduplication),
        *billing_checks(found, SETTINGS.meters, window_fits=True),
    ]


def of_unbillable(kind: Any) -> list[Check]:
    usage = {"acme": Usage(3, Decimal("1.5"))}
    return of_lago(outlook=Outlook([Unbillable(kind, "default", "that no invoice has", "Mend that.", usage)]))


def of_foreign(who: str, *, is_twice: bool, **arrived: bool) -> list[Check]:
    return of_lago(arrived={"default": Arrived([Foreign(who, is_twice, 7, NOW)], **arrived)})


def of_settings(**environ: str) -> list[Check]:
    return settings_checks(load_settings(environ=ENVIRON | environ))


def mark_of(checks: Iterable[Check], name: str) -> Mark | None:
    """The worst mark of a check; None if it was not asked."""
    marks = {check.mark for check in checks if check.name == name}
    return next((mark for mark in (Mark.BAD, Mark.LOOK, Mark.GOOD) if mark in marks), None)


def test_all_is_well_where_everything_is_as_it_should_be() -> None:
    checks = list(completed([*of_settings(), *of_ledger(), *of_source(), *of_lago()]))
    assert [check.name for check in checks] == [question.name for question in QUESTIONS]
    assert {check.mark for check in checks} == {Mark.GOOD}
    assert [check for check in checks if check.cure or not check.says.endswith(".")] == []
    assert exit_code(checks) == 0


GOOD, LOOK, BAD = Mark.GOOD, Mark.LOOK, Mark.BAD
SMALL = [Scan("LiteLLM_SpendLogs", is_indexed=False, cost=12.0)]
DEAR = [Scan("p1", is_indexed=True, cost=9.0), Scan("p2", is_indexed=False, cost=20_000.0)]
UNATTRIBUTED = {"unattributed": Rows(9, Decimal(1)), "billable": Rows(1, Decimal(1))}

WAYS: list[tuple[str, Mark, list[Check]]] = [
    ("settings", LOOK, of_settings(LAGO_API_BASE="http://lago.example.com")),
    ("mapping", GOOD, of_ledger(mapping={"default": None})),
    ("mapping", BAD, of_ledger(mapping={"default": UNTOLD})),
    ("source", BAD, of_source(server=UNTOLD)),
    ("table", BAD, of_source(table=UNTOLD)),
    ("table", LOOK, of_table(has_legacy=True)),
    ("table", GOOD, of_table(rows=-1, partitions=7)),
    ("columns", BAD, of_source(columns={"default": None, "teams": UNTOLD})),
    ("row-level security", BAD, of_table(is_hidden=True)),
    ("index", LOOK, of_table(is_indexed=False)),
    ("index", LOOK, of_source(scans=DEAR)),
    ("index", LOOK, of_source(scans=UNTOLD)),
    ("index", GOOD, of_source(scans=SMALL)),
    ("read-only", BAD, of_server(is_replica=True, behind=timedelta(0))),
    ("read-only", BAD, of_server(is_read_only=True)),
    ("read-only", GOOD, of_server(one_database=False, is_replica=True, behind=MINUTE)),
    ("read-only", LOOK, of_server(one_database=False, is_replica=True, behind=HOUR)),
    ("read-only", LOOK, of_server(one_database=False, is_replica=True)),
    ("read-only", GOOD, of_table(may_write=True)),
    ("rows", LOOK, of_source(verdicts={"default": {}}, newest=None, oldest=None)),
    ("rows", LOOK, of_source(verdicts={"default": {}}, week_ago=500)),
    ("rows", LOOK, of_source(verdicts={"default": {}})),
    ("rows", LOOK, of_source(verdicts={"default": UNTOLD})),
    ("rows", LOOK, of_source(verdicts={"default": UNATTRIBUTED})),
    ("rows", LOOK, of_source(verdicts={"default": {"billable": Rows(9, Decimal(1)), "suspect": Rows(1, Decimal())}})),
    ("rows", LOOK, of_source(verdicts={"default": {"billable": Rows(9, Decimal(1)), "unpriced": Rows(1, Decimal())}})),
    ("rows", GOOD, of_source(verdicts={"default": {"billable": Rows(9, Decimal(1)), "failed": Rows(9, Decimal())}})),
    ("retention", BAD, of_source(replace(BILLING, purge_mark=NOW - DAY, watermark=NOW - 2 * DAY))),
    ("retention", LOOK, of_source(replace(BILLING, purge_mark=NOW - 7 * DAY, watermark=NOW))),
    ("retention", LOOK, of_source(oldest=UNTOLD)),
    ("retention", GOOD, of_source(replace(BILLING, purge_mark=NOW - 60 * DAY, watermark=NOW))),
    ("retention", GOOD, of_source(oldest=None)),
    ("retention", GOOD, of_source(oldest=NOW - DAY)),
    ("version", LOOK, of_source(table=replace(TABLE, columns=frozenset({"session_id"})))),
    ("version", GOOD, of_source(table=replace(TABLE, columns=frozenset({"status"})))),
    ("clock", LOOK, of_source(newest=NOW + 8 * HOUR)),
    ("clock", LOOK, of_source(here=NOW - 2 * MINUTE)),
    ("clock", LOOK, of_source(here=NOW + 2 * MINUTE)),
    ("clock", GOOD, of_source(newest=None)),
    ("ledger", BAD, of_ledger(server=UNTOLD)),
    ("ledger", BAD, of_ledger(server=replace(SERVER, is_replica=True))),
    ("schema", BAD, of_ledger(version="9999")),
    ("schema", BAD, of_ledger(version=UNTOLD)),
    ("schema", BAD, of_ledger(version="0001", rights=replace(RIGHTS, may_make=False))),
    ("schema", LOOK, of_ledger(version="0001")),
    ("schema", GOOD, of_ledger(version=None)),
    ("rights", BAD, of_ledger(owner=UNTOLD)),
    ("rights", BAD, of_ledger(rights=UNTOLD)),
    ("rights", BAD, of_ledger(rights=replace(RIGHTS, may_compare=False))),
    ("rights", BAD, of_ledger(rights=replace(RIGHTS, lacking=["INSERT on reconciler.run"]))),
    ("rights", BAD, of_ledger(version=None, rights=replace(RIGHTS, may_make=False))),
    ("rights", GOOD, of_ledger(rights=replace(RIGHTS, may_make=False))),
    ("another ledger", GOOD, of_ledger(is_beside=False)),
    ("another ledger", BAD, of_ledger(is_beside=False, other=Other({"default"}, NOW - HOUR))),
    ("another ledger", LOOK, of_ledger(is_beside=False, other=Other({"default"}, NOW - DAY))),
    ("another ledger", LOOK, of_ledger(is_beside=False, other=UNTOLD)),
    ("meter", BAD, of_meter(compared=Compared("changed", ()))),
    ("meter", BAD, of_ledger(meters={"default": UNTOLD})),
    ("meter", GOOD, of_meter(is_known=False)),
    ("twins", LOOK, of_meter(compared=Compared(None, {"other"}))),
    ("twins", BAD, of_meter(is_known=False, compared=Compared(None, {"other"}))),
    ("passes", BAD, of_meter(troubles=["No pass has begun since yesterday."])),
    ("passes", BAD, of_runs(outcome="failed: Lago is away")),
    ("passes", LOOK, of_meter(runs=None)),
    ("passes", LOOK, of_runs(usually=HOUR)),
    ("passes", LOOK, of_runs(last_at=NOW - 20 * MINUTE)),
    ("passes", LOOK, of_runs(longest=3 * HOUR)),
    ("passes", GOOD, of_runs(usually=None, outcome=None)),
    ("alarms", LOOK, of_meter(alarms=["frozen"])),
    ("Lago", BAD, of_lago(away="no connection")),
    ("API key", BAD, of_lago(refused="it answers 401")),
    *(("permissions", mark, of_lago(may={**LAGO.may, name: False})) for name, (mark, _) in WITHOUT.items()),
    ("permissions", LOOK, of_lago(may={"write event": True})),
    ("organization", BAD, of_lago(organization=Organization("another", None))),
    ("organization", LOOK, of_lago(organization=None)),
    ("event store", LOOK, of_lago(store="clickhouse")),
    ("event store", LOOK, of_lago(store="unknown")),
    ("event store", LOOK, of_lago(store=UNTOLD)),
    ("event store", GOOD, of_lago(store="clickhouse", deduplication=True)),
    ("Lago's clock", LOOK, of_lago(ahead=2 * MINUTE)),
    ("Lago's clock", LOOK, of_lago(ahead=-2 * MINUTE)),
    ("metric", BAD, of_lago(metrics={"default": None})),
    ("metric", BAD, of_lago(metrics={"default": METRIC | {"field_name": "cost"}})),
    ("metric", LOOK, of_lago(metrics={"default": UNTOLD})),
    ("metric", GOOD, of_lago(metrics={"default": METRIC | {"expression": "1"}})),
    ("subscriptions", LOOK, of_unbillable("no subscription")),
    ("subscriptions", LOOK, of_unbillable("upgraded")),
    ("subscriptions", LOOK, of_lago(outlook=UNTOLD)),
    *((name, LOOK, of_lago(outlook=Outlook(unknown=2))) for name in ("subscriptions", "plans", "time zones")),
    ("subscriptions", LOOK, of_lago(outlook=Outlook(untold=[Unknown("subscriptions", "Not told.")]))),
    ("subscriptions", GOOD, of_lago(outlook=Outlook(untold=[Unknown("plans", "Not told.")]))),
    ("plans", LOOK, of_lago(outlook=Outlook(untold=[Unknown("plans", "Not told.")]))),
    ("plans", LOOK, of_unbillable("next plan")),
    ("plans", GOOD, of_unbillable("exchanged")),
    ("plans", LOOK, of_unbillable("currency")),
    ("plans", LOOK, of_lago(outlook=UNTOLD)),
    ("plans", GOOD, of_unbillable("free")),
    ("time zones", LOOK, of_unbillable("time zone")),
    ("callback", BAD, of_foreign(CALLBACK, is_twice=True)),
    ("callback", LOOK, of_foreign(CALLBACK, is_twice=False)),
    ("callback", LOOK, of_lago(arrived={"default": UNTOLD})),
    ("callback", GOOD, of_foreign(METER, is_twice=False, is_whole=False)),
    ("other events", BAD, of_foreign(METER, is_twice=True)),
    ("other events", BAD, of_foreign(LEDGER, is_twice=False)),
    ("other events", GOOD, of_foreign(METER, is_twice=False)),
]  # fmt: skip


@pytest.mark.parametrize(("name", "mark", "checks"), WAYS, ids=lambda each: each if isinstance(each, str) else "")
def test_a_check_comes_to_its_mark(name: str, mark: Mark, checks: list[Check]) -> None:
    assert mark_of(checks, name) is mark
    told = [check for check in checks if check.name == name and check.mark is mark]
    assert all(check.says for check in told)


def test_every_check_is_tried_as_it_should_not_be() -> None:
    assert {name for name, mark, _ in WAYS if mark is not GOOD} == set(BY_NAME)


def test_what_can_not_be_asked_says_because_of_what() -> None:
    checks = list(
        completed(
            [
                *of_settings(),
                *of_source(server=UNTOLD),
                *of_ledger(),
                *lago_checks(LagoFacts("", refused="401"), {}, deduplication=False),
            ]
        )
    )
    said = {check.name: check.says for check in checks if check.mark is Mark.NOT_ASKED}
    assert said["retention"] == "not asked, since 'source' failed."
    assert said["callback"] == "not asked, since 'API key' failed."
    assert "passes" not in said
    assert exit_code(checks) == 1


def test_a_question_needs_only_what_is_asked_before_it() -> None:
    names = [question.name for question in QUESTIONS]
    for question in QUESTIONS:
        assert set(question.needs) <= set(names) - {question.name}
    assert len(names) == len(set(names))


def test_a_plan_of_postgres_is_read_part_by_part() -> None:
    plan = {
        "Node Type": "Append",
        "Plans": [
            {"Node Type": "Index Scan", "Relation Name": "p1", "Index Cond": '("startTime" >= $1)', "Total Cost": 8.3},
            {
                "Node Type": "Bitmap Heap Scan",
                "Relation Name": "p2",
                "Total Cost": 9,
                "Plans": [{"Node Type": "Bitmap Index Scan", "Index Cond": '("startTime" >= $1)', "Total Cost": 1}],
            },
            {"Node Type": "Seq Scan", "Relation Name": "p3", "Filter": '("startTime" >= $1)', "Total Cost": 20},
        ],
    }
    assert list(scans({"Node Type": "Aggregate", "Plans": [plan]})) == [
        ("p1", True, 8.3),
        ("p2", True, 9.0),
        ("p3", False, 20.0),
    ]


def test_what_an_older_ledger_can_not_tell_is_not_asked_before_it_is_upgraded() -> None:
    checks = {each.name: each for each in completed([Check("schema", Mark.LOOK, "Version 0002")])}
    said = {name: checks[name].says for name in ("meter", "twins", "passes", "alarms")}
    assert set(said.values()) == {"not asked before the ledger is upgraded."}
    assert checks["meter"].mark is Mark.NOT_ASKED
