"""A verified meter: usage billed through Lago, and what verification finds of it."""

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from functools import partial
from typing import Any

import httpx
import pytest

from reconciler.model.when import parse_when
from reconciler.sandbox import Sandbox
from reconciler.settings.load import load_settings
from reconciler.verify.findings import Leg
from reconciler.verify.report import Report
from reconciler.verify.run import Verification
from tests.support import QUICK, STORES

ONE = Decimal(1)


def verify(
    environ: dict[str, str],
    since: str | None = None,
    until: str | None = None,
    *,
    repair: bool = False,
    dry_run: bool = False,
) -> Report:
    """`reconcile verify` of one meter in this process."""
    settings = replace(load_settings(environ=environ), limits=QUICK)
    [report] = Verification(settings).run(
        partial(parse_when, since) if since else None,
        partial(parse_when, until) if until else None,
        repair=repair,
        dry_run=dry_run,
    )
    return report


def code(report: Report) -> int:
    """The exit code, were legs b and c the only ones: these tests' customers have no subscriptions."""
    return replace(report, legs=[each for each in report.legs if each.name in "bc"]).exit_code


def leg(report: Report, name: str) -> Leg:
    """One leg of a report, which did its work."""
    assert report.errors == []
    [found] = [each for each in report.legs if each.name == name]
    return found


def kinds(found: Leg) -> dict[str, int]:
    """How many of each kind."""
    return {kind.name: number for kind, (number, _) in found.sums.items()}


def is_open(report: Report) -> bool:
    """Whether not all windows up to the newest settled one are verified."""
    return report.verified_until is None or report.verified_until != report.until


def post(lago: Sandbox, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """Ask Lago as its operator does."""
    headers = {"Authorization": f"Bearer {lago.api_key}"}
    answer = httpx.post(f"{lago.url}/api/v1/{path}", headers=headers, json=body).raise_for_status()
    made: dict[str, Any] = answer.json()
    return made


@pytest.fixture(
    params=[
        "postgres",
        "clickhouse",
        pytest.param("clickhouse, deduplicating", marks=pytest.mark.proof(seconds=2)),
    ]
)
def stored(request: pytest.FixtureRequest) -> Iterator[tuple[Sandbox, dict[str, str]]]:
    """A Lago of each store, and the settings that it needs."""
    options, more = STORES[request.param]
    with Sandbox(**options) as lago:
        if options:
            lago.clickhouse(lag=0)
        yield lago, {"RECONCILE_LAG": "0s", **more} if options else more
