"""A healthy month of 1,000 customers, billed through the stand-in of Lago: what verifying it asks and takes.

Its questions are counted by the stand-in's log. Leg b, which sums the spend table once more, is timed beside a deep
look at the same rows, in turn.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from statistics import median
from threading import Event
from typing import Any

import httpx

from bench.figure import Figure
from bench.ground import CODE, Ground
from bench.process import reconcile
from bench.volume import SHAPES
from reconciler.capture.chunks import Chunks
from reconciler.capture.comparison import Comparison
from reconciler.capture.source import open_source
from reconciler.demo.postgres import EmbeddedPostgres
from reconciler.ledger import meters
from reconciler.ledger.store import open_ledger
from reconciler.sandbox import Sandbox
from reconciler.settings.load import load_settings
from reconciler.verify.findings import Leg
from reconciler.verify.run import Verification
from reconciler.verify.table_and_ledger import TableAndLedger

CUSTOMERS = SHAPES["month"].customers
EVENTS = 100
"""So many events a customer has at least."""

ROWS = 150 * CUSTOMERS
PAGE = 1000
_FEWEST = "SELECT min(n) FROM (SELECT count(*) AS n FROM reconciler.event GROUP BY customer) AS counted"
LEG_B = 1.2
"""How many times what a deep look takes leg b may take."""


def figures(server: EmbeddedPostgres, runs: int, doing: Callable[[str], None]) -> Iterator[Figure]:
    """Bill a month, then verify it.

    Args:
        server: the benchmark's Postgres.
        runs: of leg b and the deep look.
        doing: is told what goes on.

    Raises:
        RuntimeError: a customer has too few events, or what is healthy does not verify.
    """
    with Sandbox() as lago:
        doing(f"verify: filling {ROWS:,} rows")
        ground = Ground(server, "month", ROWS, lago.url)
        ground.environ["LAGO_API_KEY"] = lago.api_key
        _subscribe(lago)
        ground.first_look()
        (fewest,) = ground.fetch(_FEWEST)
        if not isinstance(fewest, int) or fewest < EVENTS:
            raise RuntimeError(f"a customer of the month has {fewest} events, not {EVENTS}")
        events = ground.events()
        doing(f"verify: {events:,} events go to the stand-in")
        while ground.fetch("SELECT count(*) FROM reconciler.batch WHERE state = 'planned'") != (0,):
            reconcile(ground.environ).expect(0)
        ground.execute("VACUUM (ANALYZE) reconciler.event", "VACUUM (ANALYZE) reconciler.batch")

        doing(f"verify: {events:,} events")
        lago.clear_requests()
        seconds = _verify(ground)
        asked = Counter(each["path"].partition("?")[0].rpartition("/")[2] for each in lago.requests())
        pages = events / PAGE
        what = f"questions that verify {events:,} events ÷ one for {PAGE:,} and one for each of {CUSTOMERS:,} customers"
        yield Figure(what, "month", asked.total(), pages + CUSTOMERS, 1.0, "")
        yield Figure(f"pages of events ÷ one for {PAGE:,}", "month", asked["events"], pages, 1.0, "")
        yield Figure("the whole verification", "month", seconds, None, 120.0)

        doing("verify: leg b beside a deep look")
        pairs = [(_leg_b(ground), ground.deep()) for _ in range(runs)]
    yield Figure("leg b ÷ deep look", "month", median(b for b, _ in pairs), median(deep for _, deep in pairs), LEG_B)


def _subscribe(lago: Sandbox) -> None:
    """Give every customer a subscription whose present month has begun before the first row."""
    begin = datetime.now(UTC) - timedelta(days=27, hours=12)
    lago.make_metric(CODE)
    with httpx.Client(
        base_url=f"{lago.url}/api/v1/", headers={"Authorization": f"Bearer {lago.api_key}"}, trust_env=False
    ) as client:

        def make(path: str, body: dict[str, Any]) -> None:
            client.post(path, json=body).raise_for_status()

        metric = client.get(f"billable_metrics/{CODE}").raise_for_status().json()["billable_metric"]["lago_id"]
        charge = {"billable_metric_id": metric, "charge_model": "standard", "properties": {"amount": "1"}}
        plan = {"name": "llm", "code": "llm", "interval": "monthly", "amount_cents": 0, "amount_currency": "USD"}
        make("plans", {"plan": plan | {"pay_in_advance": False, "charges": [charge]}})
        fields = {"plan_code": "llm", "billing_time": "anniversary", "subscription_at": begin.isoformat()}
        for number in range(CUSTOMERS):
            name = f"customer-{number}"
            make("subscriptions", {"subscription": fields | {"external_id": name, "external_customer_id": name}})


def _verify(ground: Ground) -> float:
    """Verify the ground's meter; return the seconds.

    Raises:
        RuntimeError: it is not healthy.
    """
    began = time.perf_counter()
    [report] = Verification(load_settings(environ=dict(ground.environ))).run()
    seconds = time.perf_counter() - began
    if report.exit_code or report.verified_until != report.until:
        raise RuntimeError(f"a healthy month does not verify: {report.as_json()}"[:2000])
    return seconds


def _leg_b(ground: Ground) -> float:
    """Compare the spend table with the ledger, as a verification does; return the seconds."""
    settings = load_settings(environ=dict(ground.environ))
    ledger = open_ledger(settings)
    source = open_source(settings, ledger)
    sight = source.sight()
    with ledger.transaction() as connection:
        meter = meters.load(connection, settings.meters[0].name)
    assert meter is not None
    limits = settings.limits
    comparison = Comparison(settings.meters[0], source, sight, ledger, one_database=True, settled=meter.watermark)
    chunks = Chunks(meter.name, ledger, turn=limits.turn, seconds=limits.chunk, stopping=Event())
    leg = Leg("b", "the spend table", "the ledger")
    ground.execute("CHECKPOINT")
    began = time.perf_counter()
    table = TableAndLedger(meter, comparison, chunks, ledger, fresh_since=meter.watermark)
    table.run(meter.start, meter.watermark, leg)
    seconds = time.perf_counter() - began
    source.close()
    ledger.close()
    if leg.drifts or leg.reading != "at 1":
        raise RuntimeError(f"leg b differs: {leg.as_json()}"[:2000])
    return seconds
