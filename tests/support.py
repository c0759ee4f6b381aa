"""What many tests need: a pass in this process, time that goes by, and the proof that the bill is exact."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from psycopg import sql

from reconciler.demo.postgres import EmbeddedPostgres
from reconciler.model import windows
from reconciler.model.errors import LagoAwayError, LagoError
from reconciler.model.when import parse_when
from reconciler.passes.run import Pass, Request
from reconciler.report.summary import Summary
from reconciler.sandbox import Sandbox
from reconciler.settings.limits import Limits
from reconciler.settings.load import Settings, load_settings
from tests.conftest import WITH_LEDGER, Database, new_database, spend_row

CODE = "openai_tokens"

WINDOW, SETTLE = timedelta(minutes=15), timedelta(minutes=2)
"""The windows of a meter that no setting changes, and how long after its end a window is settled."""

QUICK = Limits(pause=0.02, rest=0.02, near=60.0)
"""What failed goes again sooner in tests; how often it does is what they are about. A busy machine takes its time."""

BATCH = "/api/v1/events/batch"

TURN = "SELECT FROM reconciler.meter WHERE name = 'default' FOR UPDATE"
"""Takes the default meter's turn, as a pass that plans does."""

LAGOS_400 = '{"status": 400, "error": "BadRequest: param is missing"}'
"""How Lago refuses a request that it can't read."""

LAGOS_404 = '{"status": 404, "error": "Not Found", "code": "resource_not_found"}'
"""How Lago answers at a path that it doesn't have."""

EVENTS = """(SELECT event.*, batch.state, batch.held_for, batch.conflict, batch.attempts, batch.attempted_at,
                    batch.leased_until, batch.open_since, batch.failures, batch.failed_at, batch.failure, batch.proof,
                    batch.rests_until, batch.answered_at, batch.answer, batch.decided_at, batch.decided_by, batch.reason
             FROM reconciler.event JOIN reconciler.batch ON batch.id = event.batch) AS event"""
"""The ledger's events, each with what is known of its batch."""

STORES: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "postgres": ({}, {}),
    "clickhouse": ({"store": "clickhouse", "deduplication": False}, {}),
    "clickhouse, deduplicating": ({"store": "clickhouse"}, {"RECONCILE_DEDUPLICATION": "true"}),
}
"""Lago's event stores: a stand-in's options, and the settings that it needs."""


def window(back: int = 1) -> datetime:
    """The start of the newest settled window; `window(0)` is its end, where the next pass leaves the watermark."""
    return windows.floor(datetime.now(UTC) - SETTLE, WINDOW) - back * WINDOW


def environment(source: Database, lago: Sandbox, *, ledger: Database | None = None, **more: str) -> dict[str, str]:
    """The variables of an operator; `more` adds or replaces some, such as `RECONCILE_WINDOW="5m"`."""
    make_metric(lago)
    five = {
        "DATABASE_URL": source.url,
        "LAGO_API_BASE": lago.url,
        "LAGO_API_KEY": lago.api_key,
        "LAGO_API_EVENT_CODE": CODE,
        "LAGO_API_CHARGE_BY": "end_user_id",
    }
    return five | ({"RECONCILE_LEDGER_URL": ledger.url} if ledger else {}) | more


def reconcile(
    environ: dict[str, str],
    *,
    since: str | None = None,
    until: str | None = None,
    dry_run: bool = False,
    adopt: bool = False,
    limits: Limits = QUICK,
) -> Summary:
    """`reconcile [--since …] [--until …]` of one meter in this process; raises what the command would report."""
    request = Request(
        since=partial(parse_when, since) if since else None,
        until=partial(parse_when, until) if until else None,
        dry_run=dry_run,
        adopt=adopt,
    )
    [summary] = Pass(settings_of(environ, limits=limits)).run(request)
    if summary.error:
        raise summary.error
    return summary


def settings_of(environ: dict[str, str], *, limits: Limits = QUICK) -> Settings:
    """A test's settings, read once for all of its passes: it takes a tenth of one, and no pass changes them."""
    return replace(_settings(*environ.items()), limits=limits)


@cache
def _settings(*variables: tuple[str, str]) -> Settings:
    return load_settings(environ=dict(variables))


@contextmanager
def world(postgres: EmbeddedPostgres) -> Iterator[tuple[Database, Sandbox]]:
    """A proxy's database with a ledger and a Lago, for tests of a module that change neither."""
    with new_database(postgres, WITH_LEDGER) as source, Sandbox() as lago:
        yield source, lago


def make_metric(lago: Sandbox, code: str = CODE, *, api_key: str | None = None) -> None:
    """Give Lago a billable metric of that code, unless it has one; in the organization of that key."""
    lago.make_metric(code, api_key=api_key)


def two_meters(folder: Path, source: Database, lago: Sandbox, *, ledger: Database | None = None, **teams: str) -> Path:
    """A file of settings with the meters `customers` and `teams`, whose metrics are there; `teams` are its own."""
    for code in ("customer_usage", "team_usage"):
        make_metric(lago, code)
    path = folder / "reconcile.toml"
    path.write_text(f"""
database_url = "{source.url}"
ledger_url = "{(ledger or source).url}"
lago_api_base = "{lago.url}"
lago_api_key = "{lago.api_key}"

[meters.customers]
lago_api_event_code = "customer_usage"

[meters.teams]
lago_api_event_code = "team_usage"
lago_api_charge_by = "team_id"
""")
    with path.open("a") as file:
        file.writelines(f'{name} = "{value}"\n' for name, value in teams.items())
    return path


def in_the_middle_of_a_month(lago: Sandbox) -> None:
    """Let Lago's customers be where it is about noon: usage of the last hours lies in the present period."""
    behind = datetime.now(UTC).hour - 12  # Etc/GMT+5 is five hours behind
    lago.organization(timezone=f"Etc/GMT{behind:+d}")


def customers(source: Database, count: int) -> None:
    """Write a row for each of so many customers: so many events."""
    source.insert(*(spend_row(end_user=f"customer {number}") for number in range(count)))


def compute_cost(lago: Sandbox) -> None:
    """Give Lago a metric whose expression overwrites the cost of our events, rounded to cents."""
    lago.make_metric(CODE, expression="round(event.properties.response_cost, 2)")


def backlog(source: Database, lago: Sandbox, events: int, **more: str) -> dict[str, str]:
    """Plan so many events that Lago refuses for now; return the settings, with `more`."""
    environ = environment(source, lago) | more
    customers(source, events)
    lago.faults({"kind": "status", "status": 401, "count": None})
    with pytest.raises(LagoError, match="401"):
        reconcile(environ, since="2h")
    lago.clear_faults()
    lago.clear_requests()
    return environ


def reconcile_while_undecided(environ: dict[str, str], source: Database, *, since: str | None = None) -> Summary:
    """Passes minutes apart, with new usage for each, until no event is planned; returns the last one's summary.

    Poison is proven by several rounds. Where some poison events fail in a row, a pass may take Lago for away.
    """
    for number in range(8):
        with suppress(LagoAwayError):
            done = reconcile(environ, since=None if number else since)
            if "planned" not in states(source):
                return done
        let_minutes_pass(source)
        source.insert(spend_row(end_user=f"later {number}"))
    pytest.fail(f"it is still undecided: {states(source)}")


def plan_again(ledger: Database) -> None:
    """As a sender leaves it that was lost after Lago's answer, before it recorded that; its lease has ended since."""
    ledger.fetch(
        """UPDATE reconciler.batch SET state = 'planned', answered_at = NULL, open_since = attempted_at,
                                       leased_until = attempted_at"""
    )


def end_leases(ledger: Database) -> None:
    """Let the time pass that a killed sender's lease takes."""
    ledger.fetch("UPDATE reconciler.batch SET leased_until = clock_timestamp() - interval '1 second'")


def let_time_pass(ledger: Database, span: str) -> None:
    """Make the ledger's looks older: two hours and a probe is due, two days and a deep look is."""
    ledger.fetch("UPDATE reconciler.meter SET created_at = created_at - %s::interval", span)
    ledger.fetch("UPDATE reconciler.look SET finished_at = finished_at - %s::interval", span)


def let_minutes_pass(ledger: Database) -> None:
    """Leases and rests end, what was sent can be read back on any store, a Lago that was away is asked again."""
    ledger.fetch(
        """UPDATE reconciler.batch SET leased_until = leased_until - interval '3 minutes',
                                       open_since = open_since - interval '3 minutes',
                                       rests_until = rests_until - interval '1 hour' WHERE state = 'planned'"""
    )
    ledger.fetch(
        """UPDATE reconciler.batch SET answered_at = answered_at - interval '3 minutes',
                                       failed_at = failed_at - interval '3 minutes'"""
    )
    ledger.fetch("UPDATE reconciler.lago SET asked_at = asked_at - interval '3 minutes'")


def states(ledger: Database) -> dict[str, int]:
    """How many events are in each state."""
    return dict(ledger.fetch(f"SELECT state, count(*) FROM {EVENTS} GROUP BY 1"))


def batches(lago: Sandbox) -> list[list[str]]:
    """The ids in each batch that Lago was sent, those without an answer too, in the order they ended."""
    return [request["ids"] for request in lago.requests() if request["path"] == BATCH]


def start_over(lago: Sandbox, *databases: Database) -> None:
    """Forget all rows, all that the ledgers hold and all that Lago was told: quicker than new databases."""
    lago.reset()
    for database in databases:
        found = database.fetch(
            """SELECT string_agg('DELETE FROM ' || oid::regclass::text, '; ') FROM pg_class
               WHERE relkind IN ('r', 'p') AND relname <> 'alembic_version'
                 AND (relname = 'LiteLLM_SpendLogs' OR relnamespace = to_regnamespace('reconciler'))"""
        )
        if found != [(None,)]:
            database.fetch(found[0][0])  # of few rows: TRUNCATE makes a file for each table and index


class Usage(NamedTuple):
    """What was used, or counted, for one subscription and model."""

    input_tokens: int
    output_tokens: int
    cost: Decimal
    requests: int


Usages = dict[tuple[str, str], Usage]
"""By subscription and model."""

# Written without a look at the reconciler's own statements. An old table has no status: then the name means the NULL.
_USED = """
SELECT customer, model, sum(input)::bigint, sum(output)::bigint, sum(cost), sum(requests)::bigint
FROM (VALUES (NULL)) AS absent (status),
     LATERAL (SELECT {customer} AS customer, coalesce({model}, '') AS model, sum(prompt_tokens) AS input,
                     sum(completion_tokens) AS output, sum(spend::text::numeric) AS cost, count(*) AS requests
              FROM {schema}."LiteLLM_SpendLogs"
              WHERE (status IS DISTINCT FROM 'failure' OR spend <> 0)
                AND {customer} ~ '[^[:space:]]'
                AND spend >= 0 AND spend < 'Infinity' AND prompt_tokens >= 0 AND completion_tokens >= 0
                AND "startTime" < (SELECT {watermark}::timestamptz AT TIME ZONE 'UTC')
                AND ({where})
              GROUP BY 1, 2, floor(extract(epoch FROM "startTime") / {window_seconds})) AS bucket
WHERE input > 0 OR output > 0 OR cost > 0
GROUP BY 1, 2
"""


def used(
    source: Database,
    *,
    watermark: object = "infinity",
    customer: str = "end_user",
    model: str = "model",
    where: str = "true",
    window_seconds: int = 900,
    schema: str = "public",
    subscription: Callable[[str], str] = str,
) -> Usages:
    """What the spend table says is to be billed: its rows before the watermark for which the SQL of `where` is true."""
    query = sql.SQL(_USED).format(
        customer=sql.Identifier(customer),
        model=sql.Identifier(model),
        schema=sql.Identifier(schema),
        watermark=sql.Literal(str(watermark)),
        where=sql.SQL(where),
        window_seconds=sql.Literal(window_seconds),
    )
    with source.session() as session:
        rows = session.execute(query).fetchall()
    return {(subscription(row[0]), row[1]): Usage(*row[2:]) for row in rows}


def counted(lago: Sandbox, *, code: str = CODE) -> Usages:
    """What Lago counts, by its own rule."""
    found: Usages = {}
    for total in lago.totals():
        if total["code"] == code:
            sums = {name: Decimal(text) for name, text in total["sums"].items()}
            found[total["external_subscription_id"], total["model"]] = Usage(
                int(sums["input_tokens"]), int(sums["output_tokens"]), sums["response_cost"], int(sums["requests"])
            )
    return found


def assert_exact(
    source: Database,
    lago: Sandbox,
    *,
    ledger: Database | None = None,
    meter: str = "default",
    code: str = CODE,
    undelivered: int = 0,
    customer: str = "end_user",
    model: str = "model",
    where: str = "true",
    window_seconds: int = 900,
    schema: str = "public",
    subscription: Callable[[str], str] = str,
) -> None:
    """Assert that Lago counts exactly what the spend table says, and that the ledger knows it.

    Args:
        source: the proxy's database.
        lago: holds events of this meter alone, by this code.
        ledger: where the ledger is, if it is in another database.
        meter: the meter's name; rows before its watermark are to be billed.
        code: its event code.
        undelivered: how many events are to be in other states than accepted.
        customer: the column of its charge-by.
        model: its model column.
        where: SQL for rows that are to be billed, where those without this customer's usage are not all.
        window_seconds: its windows' length.
        schema: where the spend table is.
        subscription: a customer's subscription.
    """
    ledger = ledger or source
    [(watermark,)] = ledger.fetch("SELECT watermark FROM reconciler.meter WHERE name = %s", meter)
    expected = used(
        source,
        watermark=watermark,
        customer=customer,
        model=model,
        where=where,
        window_seconds=window_seconds,
        schema=schema,
        subscription=subscription,
    )
    assert counted(lago, code=code) == expected

    events = ledger.fetch(f"SELECT payload::json ->> 'transaction_id', state FROM {EVENTS} WHERE meter = %s", meter)
    held = Counter(event["transaction_id"] for event in lago.events() if event["code"] == code)
    assert held == Counter(id_ for id_, state in events if state == "accepted"), "ids in Lago and in the ledger"
    assert sum(state != "accepted" for _, state in events) == undelivered, "events without an end"
