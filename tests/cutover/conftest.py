"""A proxy whose usage LiteLLM's callback has billed: rows, the callback's events in Lago, and a meter to cut over."""

import uuid
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from reconciler.model import windows
from reconciler.sandbox import Sandbox
from reconciler.settings.load import load_settings
from reconciler.verify.cutover.found import Found
from reconciler.verify.cutover.run import Cutover
from tests.conftest import Database, spend_row
from tests.periods.conftest import Billing
from tests.support import CODE, environment, reconcile
from tests.verify.conftest import post

EDGE = windows.floor(datetime.now(UTC) - timedelta(hours=1), timedelta(minutes=15))
"""The instant of these tests: the last edge an hour ago. A cut-over reads two hours beyond it, so up to the present."""


def event_of(row: dict[str, Any], *, late: float = 0.5, **other: Any) -> dict[str, Any]:
    """The event that the callback sends of a row, so many seconds after the request's end; with other properties."""
    usage = {name: row[name] for name in ("prompt_tokens", "completion_tokens", "total_tokens")}
    said = {"model": row["model"].partition("/")[2], "response_cost": row["spend"], **usage} | other
    taken = row["endTime"].replace(tzinfo=UTC) + timedelta(seconds=late)
    return {
        "transaction_id": str(uuid.uuid4()),
        "external_subscription_id": row["end_user"],
        "code": CODE,
        "timestamp": f"{taken.timestamp():.3f}",
        "properties": {name: value for name, value in said.items() if value is not ...},
    }


def send(lago: Sandbox, *events: dict[str, Any]) -> None:
    """Let the callback post them, each by itself."""
    for event in events:
        post(lago, "events", {"event": event})


def row_at(before: timedelta, **other: Any) -> dict[str, Any]:
    """A row that began so long before the edge; 0.25 USD if not said otherwise."""
    return spend_row(startTime=EDGE - before, **{"spend": 0.25} | other)


def cut_over(
    environ: dict[str, str],
    at: datetime | None = None,
    since: datetime | None = None,
    *,
    record: bool = True,
    dry_run: bool = False,
    code: str | None = None,
) -> Found:
    """`reconcile cutover` in this process."""
    work = Cutover(load_settings(environ=environ), code=code)
    try:
        return work.run(lambda _: at or EDGE, (lambda _: since) if since else None, record=record, dry_run=dry_run)
    finally:
        work.close()


def found(seen: Found) -> dict[str, tuple[int, Decimal]]:
    """How many requests or events of each kind, and their USD."""
    return {each.kind: (each.requests, each.cost) for each in seen.by("all")}


def ours(lago: Sandbox) -> Decimal:
    """What our own events come to in Lago."""
    return sum((Decimal(each["properties"]["response_cost"]) for each in lago.events()
                if each["transaction_id"].startswith("r1_")), Decimal())  # fmt: skip


def all_of_it(lago: Sandbox) -> Decimal:
    """What all events come to in Lago, the callback's and ours."""
    return sum((Decimal(str(each["properties"]["response_cost"])) for each in lago.events()), Decimal())


@pytest.fixture
def billing(lago: Sandbox) -> Iterator[Billing]:
    billing = Billing(lago)
    with closing(billing.api):
        yield billing


@pytest.fixture
def environ(proxy_db: Database, lago: Sandbox) -> dict[str, str]:
    """The settings of a meter that has begun with the current window, and billed nothing."""
    settings = environment(proxy_db, lago)
    reconcile(settings)
    return settings
