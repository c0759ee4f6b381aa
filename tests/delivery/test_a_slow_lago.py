"""A Lago that works at one request at a time, so that the more come at once, the longer each takes."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from reconciler.model.errors import LagoError
from reconciler.sandbox import Sandbox
from tests.conftest import Database, spend_row
from tests.support import QUICK, assert_exact, batches, environment, reconcile, states

# A real one takes 0.4 s a batch and is given 20 s; here all is ten times as quick.
BUSY = {"kind": "busy", "seconds": 0.04, "count": None}
LIMITS = replace(QUICK, batch=5, request=2.0)
PASSES = 3  # of two connections each


@pytest.mark.proof
def test_nothing_times_out_repeats_or_starves(proxy_db: Database, lago: Sandbox) -> None:
    now = datetime.now(UTC)
    for name, count, age in (("old", 50, timedelta(hours=3)), ("fresh", 10, timedelta(minutes=20))):
        proxy_db.insert(*(spend_row(end_user=f"{name} {number}", startTime=now - age) for number in range(count)))
    environ = environment(proxy_db, lago)
    lago.faults({"kind": "status", "status": 401, "count": None})
    with pytest.raises(LagoError, match="401"):
        reconcile(environ, since="4h", limits=LIMITS)
    lago.clear_faults()
    lago.clear_requests()

    lago.faults(BUSY)
    with ThreadPoolExecutor(PASSES) as pool:
        for one in [pool.submit(reconcile, environ, limits=LIMITS) for _ in range(PASSES)]:
            one.result()

    assert {(one["status"], one["fault"]) for one in lago.requests()} == {(200, "busy")}
    assert proxy_db.fetch("SELECT max(attempts), max(failures) FROM reconciler.batch") == [(1, 0)]
    posted = batches(lago)
    assert (len(posted), len({id_ for ids in posted for id_ in ids})) == (12, 60)
    fresh = {event["transaction_id"] for event in lago.events() if event["properties"]["customer"].startswith("fresh")}
    assert [place for place, ids in enumerate(posted) if fresh & set(ids)][-1] <= 2 * PASSES + 1
    assert states(proxy_db) == {"accepted": 60}
    assert_exact(proxy_db, lago)
