"""Whatever the callback has lost, doubled or said of equal requests, Lago ends with the table and the doubles."""

from datetime import timedelta
from decimal import Decimal
from random import Random
from typing import Any

import pytest

from reconciler.model.windows import utc_text
from reconciler.sandbox import Sandbox
from tests.conftest import Database
from tests.cutover.conftest import EDGE, all_of_it, cut_over, event_of, found, row_at, send
from tests.support import environment, make_metric, reconcile, start_over

SECOND = timedelta(seconds=1)
NAMES = ("openai/gpt-4o-mini", "gpt-4o-mini"), ("azure/gpt-4o-mini", "mini"), ("gpt-4o-mini", "")
BARE: dict[str, Any] = {"prompt_tokens": ..., "completion_tokens": ..., "total_tokens": ...}


def past(dice: Random) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows that are much alike, and what the callback has made of them."""
    rows, events = [], []
    for _ in range(dice.randrange(10, 30)):
        before = SECOND * dice.choice((1, 30, 600, 7000))
        model, group = dice.choice(NAMES)
        call_type = dice.choice(("acompletion", "aresponses", "atext_completion", "anthropic_messages"))
        row = row_at(
            before,
            end_user=dice.choice(("acme", "globex")),
            spend=dice.choice((0.0, 1.35e-05, 0.1)),
            prompt_tokens=dice.choice((10, 11)),
            model=model,
            model_group=group,
            call_type=call_type,
            endTime=(EDGE - before + SECOND * dice.choice((0, 5, 900))).replace(tzinfo=None),
        )
        said = {"model": model.partition("/")[2] or model} | ({} if call_type == "acompletion" else BARE)
        if call_type == "aresponses" and group:
            said["model"] = group
        times = dice.choice((0, 1, 1, 1, 1, 2)) if call_type != "anthropic_messages" else 0
        events += [event_of(row, late=dice.choice((0.5, 40.0)), **said) for _ in range(times)]
        if dice.random() < 0.9:
            rows.append(row)
    return rows, events


@pytest.mark.proof(seconds=3)
def test_what_lago_counts_is_the_table_and_what_is_reported(proxy_db: Database, lago: Sandbox) -> None:
    environ = environment(proxy_db, lago)
    since = utc_text(EDGE - timedelta(hours=3))
    for seed in range(3):
        rows, events = past(Random(seed))
        start_over(lago, proxy_db)
        make_metric(lago)
        reconcile(environ)
        proxy_db.insert(*rows, row_at(SECOND))
        send(lago, *events, event_of(row_at(SECOND, end_user="initech")))
        seen = found(cut_over(environ, since=EDGE - timedelta(hours=3)))
        reconcile(environ, since=since)
        table = sum((Decimal(str(row["spend"])) for row in rows), Decimal("0.25"))
        over = sum((seen[kind][1] for kind in ("twice", "no row") if kind in seen), Decimal())
        assert all_of_it(lago) == table + over, f"seed {seed}"
        assert found(cut_over(environ, since=EDGE - timedelta(hours=3))).get("doubled") is None, f"seed {seed}"
        fitting = seen.get("taken over", (0, 0))[0] + seen.get("missed", (0, 0))[0]
        assert fitting == len(rows) + 1, f"seed {seed}: each row is billed by one"
