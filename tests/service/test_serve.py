"""`reconcile serve`: passes at each interval that outlive outages, and an end in time, whatever is going on."""

import itertools
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.sandbox import Sandbox
from tests.conftest import Database, spend_row
from tests.process import start
from tests.service.conftest import Serve, parse, use
from tests.support import assert_exact, environment, make_metric, reconcile

pytestmark = pytest.mark.proof


@pytest.fixture
def environ(proxy_db: Database, lago: Sandbox) -> dict[str, str]:
    """The settings of a meter that bills from a day ago on."""
    environ = environment(proxy_db, lago)
    reconcile(environ, since="1d")
    return environ


def test_what_is_new_is_billed_at_the_next_interval(
    serve: Serve, environ: dict[str, str], proxy_db: Database, lago: Sandbox
) -> None:
    service = serve(environ)
    started = service.next("started")
    assert started["interval_seconds"] == "1.0"
    service.next("pass done")

    use(proxy_db)

    while (done := service.next("pass done"))["rows"] == "0":
        pass
    assert done["rows"] == "12"
    assert done["accepted"] == done["planned"] != "0"
    assert_exact(proxy_db, lago)

    # What a person should look at is said once with its sentence, and once that it is over.
    proxy_db.insert(spend_row(spend=float("nan"), end_user="globex"))
    alarm = service.next("alarm")
    assert (alarm["level"], alarm["kind"]) == ("warning", "suspect")
    assert "Most are of globex (1 row)" in alarm["reason"]
    for _ in range(2):
        assert service.next("pass done")["alarms"] == "suspect"
    proxy_db.fetch("DELETE FROM \"LiteLLM_SpendLogs\" WHERE spend = 'NaN'")
    assert service.next("alarm is over")["kind"] == "suspect"
    assert [parse(line)["event"] for line in service.log].count("alarm") == 1
    assert service.end() == 0


def test_passes_never_overlap_and_missed_ones_are_one(
    serve: Serve, environ: dict[str, str], proxy_db: Database
) -> None:
    service = serve(environ)
    service.next("pass done")
    with proxy_db.connect(autocommit=False) as migration:
        migration.execute('LOCK TABLE "LiteLLM_SpendLogs"')
        time.sleep(4)  # four intervals
        [(released,)] = proxy_db.fetch("SELECT clock_timestamp()")
    for _ in range(5):
        service.next("pass done")
    service.end()

    runs = proxy_db.fetch("SELECT started_at, finished_at FROM reconciler.run ORDER BY started_at")
    assert all(finished <= started for (_, finished), (started, _) in itertools.pairwise(runs))
    # What was missed is made up for once; the next ones come at their own intervals.
    since = [started for started, _ in runs if started > released]
    assert len(since) <= (since[-1] - released).total_seconds() + 2
    assert all(parse(line) for line in service.log)


def test_a_restart_of_the_database_is_outlived(
    serve: Serve, environ: dict[str, str], proxy_db: Database, lago: Sandbox
) -> None:
    service = serve(environ)
    service.next("pass done")

    proxy_db.server.stop()
    failed = service.next("pass failed")
    assert failed["level"] == "error"
    assert failed["reason"].startswith("DATABASE_URL (postgresql://postgres@127.0.0.1:")
    proxy_db.server.start()
    use(proxy_db)

    while service.next("pass done")["rows"] == "0":
        pass
    assert_exact(proxy_db, lago)
    assert service.end() == 0


def test_a_service_may_start_before_its_database(serve: Serve, proxy_db: Database, lago: Sandbox) -> None:
    proxy_db.server.stop()
    service = serve(environment(proxy_db, lago))
    service.next("pass failed")

    proxy_db.server.start()

    service.next("pass done")
    assert service.end() == 0


def test_an_outage_of_lago_is_outlived(
    serve: Serve, environ: dict[str, str], proxy_db: Database, lago: Sandbox
) -> None:
    service = serve(environ)
    service.next("pass done")

    lago.stop()
    use(proxy_db)
    failed = service.next("pass failed")
    assert failed["meter"] == "default"
    assert f"Lago at LAGO_API_BASE ({lago.url}) can't be reached" in failed["reason"]
    lago.start()
    make_metric(lago)  # the stand-in has forgotten it

    while service.next("pass done")["accepted"] == "0":
        pass
    assert_exact(proxy_db, lago)
    assert service.end() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_at_once_between_passes(serve: Serve, environ: dict[str, str], number: signal.Signals) -> None:
    service = serve(environ | {"RECONCILE_INTERVAL": "1h"})
    service.next("pass done")

    assert service.end(number) == 0
    assert [parse(line)["event"] for line in service.log[-2:]] == ["stopping", "stopped"]
    assert parse(service.log[-1])["cut_off"] == "false"


def test_it_ends_in_time_in_the_middle_of_a_chunk(
    serve: Serve, environ: dict[str, str], proxy_db: Database, lago: Sandbox
) -> None:
    service = serve(environ)
    service.next("pass done")
    use(proxy_db)
    with proxy_db.connect(autocommit=False) as migration:
        migration.execute('LOCK TABLE "LiteLLM_SpendLogs"')
        wait_until(lambda: proxy_db.fetch("SELECT 1 FROM pg_locks WHERE NOT granted") != [])

        assert service.end() == 0  # while the chunk can't go on
    assert parse(service.log[-1])["event"] == "stopped"
    reconcile(environ)
    assert_exact(proxy_db, lago)


def test_it_ends_in_time_while_lago_hangs(
    serve: Serve, environ: dict[str, str], proxy_db: Database, lago: Sandbox
) -> None:
    service = serve(environ)
    service.next("pass done")
    lago.faults({"kind": "hang", "count": None, "seconds": 3600, "method": "POST", "commit": True})
    lago.clear_requests()
    use(proxy_db)
    wait_until(lambda: any(request["method"] == "POST" for request in lago.requests()))

    assert service.end() == 0
    lago.clear_faults()
    proxy_db.fetch("UPDATE reconciler.batch SET leased_until = NULL")  # the lease outlives the sender for a while
    reconcile(environ)
    assert_exact(proxy_db, lago)


def test_log_lines_are_logfmt_and_hold_no_secret(
    serve: Serve, environ: dict[str, str], proxy_db: Database, lago: Sandbox
) -> None:
    password = re.search(r":([^:@/]+)@", proxy_db.url)
    assert password
    service = serve(environ)
    service.next("pass done")
    lago.faults({"kind": "status", "status": 401})
    use(proxy_db)
    service.next("pass failed")
    proxy_db.server.restart("immediate")
    service.next("pass done")
    service.end()

    assert len(service.log) > 4
    for line in service.log:
        pairs = parse(line)
        assert pairs["level"] in {"info", "warning", "error"}
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", pairs["timestamp"])
        assert lago.api_key not in line
        assert password[1] not in line


def wait_until(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def catches(signal_number: int, pid: int) -> bool:
    """Whether a process has a handler for a signal."""
    [caught] = re.findall(r"SigCgt:\s*([0-9a-f]+)", Path(f"/proc/{pid}/status").read_text())
    return bool(int(caught, 16) >> (signal_number - 1) & 1)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="there is no /proc that tells of handlers")
@pytest.mark.parametrize("seconds", [0, 0.3])
def test_sigterm_while_it_starts_ends_it_cleanly(environ: dict[str, str], seconds: float) -> None:
    service = start(environ, "serve")
    wait_until(lambda: catches(signal.SIGTERM, service.pid))  # before that, Python has not come to our code
    time.sleep(seconds)
    service.send_signal(signal.SIGTERM)
    _, err = service.communicate(timeout=60)
    assert service.returncode == 0
    assert "Traceback" not in err
