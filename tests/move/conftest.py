"""A meter that has billed acme's usage to globex's subscription, since somebody mapped it so."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from reconciler.model.when import parse_when
from reconciler.passes.moving.move import Move
from reconciler.report.move import Found, Made
from reconciler.sandbox import Sandbox
from reconciler.settings.load import load_settings
from tests.conftest import Database
from tests.periods.conftest import Billing, billing, now
from tests.support import EVENTS, QUICK, counted, environment

__all__ = ["Billing", "billing"]

OTHER = "anthropic/claude"
REASON = "acme was mapped to globex by mistake"


def at(days: int = 0) -> datetime:
    """A moment so many days ago, of a window that is over, wherever midnight is."""
    return now() - timedelta(days=days, minutes=40)


class Mapping:
    """The operator's mapping file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.write(acme="globex", globex="globex")

    def write(self, **subscriptions: str) -> None:
        lines = [f"{customer},{subscription}\n" for customer, subscription in subscriptions.items()]
        self.path.write_text("customer,subscription\n" + "".join(lines))


@pytest.fixture
def mapping(tmp_path: Path) -> Mapping:
    return Mapping(tmp_path / "mapping.csv")


@pytest.fixture
def environ(proxy_db: Database, lago: Sandbox, mapping: Mapping) -> dict[str, str]:
    return environment(proxy_db, lago, RECONCILE_MAPPING=str(mapping.path))


@contextmanager
def shown(
    environ: dict[str, str], customer: str = "acme", to: str = "acme", *, since: str = "9d", until: str | None = None
) -> Iterator[tuple[Move, Found]]:
    """A move that a person looks at."""
    work = Move(replace(load_settings(environ=environ), limits=QUICK), customer, to)
    try:
        yield work, work.look(partial(parse_when, since), partial(parse_when, until) if until else None)
    finally:
        work.close()


def move(environ: dict[str, str], customer: str = "acme", to: str = "acme", **span: Any) -> tuple[Found, Made]:
    """`reconcile move acme --to acme --since 9d --yes` in this process."""
    with shown(environ, customer, to, **span) as (work, found):
        return found, work.make(REASON)


def fates(found: Found) -> dict[str, int]:
    """How many events there are of each fate; of those that stay, why."""
    sums: dict[str, int] = {}
    for line in found.lines:
        sums[line.why or line.fate] = sums.get(line.why or line.fate, 0) + line.events
    return sums


def counts(lago: Sandbox) -> dict[tuple[str, str], Any]:
    """What Lago counts, by subscription and model, without what comes to nothing."""
    return {key: usage for key, usage in counted(lago).items() if any(usage)}


def everything(ledger: Database) -> list[tuple[Any, ...]]:
    """All events, and what is known of them."""
    return ledger.fetch(f"SELECT * FROM {EVENTS} ORDER BY window_start, bucket, revision")
