"""Five sender processes on one backlog share it: nothing goes twice without a reason."""

import random
import re
import time
from collections import Counter
from contextlib import ExitStack

import pytest

from reconciler.ledger.outbox import LOST
from reconciler.sandbox import Sandbox
from tests.conftest import Database
from tests.crash.runner import Reconcile
from tests.support import BATCH, EVENTS, assert_exact, backlog, let_minutes_pass, reconcile

pytestmark = [pytest.mark.proof(seconds=10), pytest.mark.timeout(600)]


def times_sent(lago: Sandbox) -> Counter[str]:
    return Counter(id_ for request in lago.requests() if request["method"] == "POST" for id_ in request["ids"])


def test_they_share_it_and_send_nothing_twice(proxy_db: Database, lago: Sandbox) -> None:
    environ = backlog(proxy_db, lago, 4000)
    lago.faults({"kind": "slow", "seconds": 0.9, "count": None, "path": BATCH})
    with ExitStack() as running:
        passes = [running.enter_context(Reconcile(environ, "--verbose", senders=8)) for _ in range(5)]
        assert [(each.wait(), each.err) for each in passes] == [(0, "")] * 5
    assert_exact(proxy_db, lago)
    assert set(times_sent(lago).values()) == {1}
    accepted = proxy_db.fetch("SELECT (summary ->> 'events_accepted')::int FROM reconciler.run WHERE outcome = 'done'")
    assert sum(count > 0 for (count,) in accepted) >= 2, "so many took part"


def test_what_goes_again_has_its_reason_in_the_ledger_and_in_the_log(
    proxy_db: Database, lago: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    environ = backlog(proxy_db, lago, 3000)
    odds = {"path": BATCH, "probability": 0.1}
    lago.faults(
        {"kind": "commit_then_500", "seed": 1, **odds},
        {"kind": "drop", "seed": 2, **odds},
        {"kind": "status", "status": 429, "headers": {"X-RateLimit-Reset": "0.1"}, "seed": 3, **odds},
        {"kind": "slow", "seconds": 0.2, "count": None, "path": BATCH},
    )
    draw = random.Random(1)
    with ExitStack() as running:
        passes = [running.enter_context(Reconcile(environ, "--verbose", senders=8)) for _ in range(5)]
        for killed in passes[:3]:
            time.sleep(draw.uniform(0.2, 0.8))
            killed.kill()
        for each in passes:
            each.wait()
        log = "\n".join(each.err for each in passes)
    assert "events go again" in log

    let_minutes_pass(proxy_db)
    lago.clear_faults()
    assert reconcile(environ).exit_code == 0
    assert_exact(proxy_db, lago)
    again = {id_ for id_, times in times_sent(lago).items() if times > 1}
    reasons = dict(
        proxy_db.fetch(f"SELECT payload::json ->> 'transaction_id', failure FROM {EVENTS} WHERE failure IS NOT NULL")
    )
    assert len(again) > 100
    assert again <= reasons.keys()

    # The log names the first event of what goes again, or of what a lost sender had taken.
    log += capsys.readouterr().out
    told = set(re.findall(r"events (?:go|are taken) again.* first=(\w+)", log))
    beside = {id_ for request in lago.requests() if told & set(request["ids"]) for id_ in request["ids"]}
    assert told
    lost = {id_ for id_, reason in reasons.items() if reason == LOST}
    assert again <= beside | lost
    assert all(reason in log for reason in reasons.values())
