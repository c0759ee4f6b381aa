"""Real commands on a terminal of 80 columns: each value is whole, however long it is."""

import json
import os
import pty
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.sandbox import Sandbox
from tests.commands import run
from tests.conftest import Database, spend_row
from tests.failures.test_outputs import reconcile
from tests.support import environment

CUSTOMER = "a customer whose name takes more than one line of a terminal, even if nothing else stood there: " + "x" * 60
MODEL = "openai/" + "a-model-of-a-long-name-" * 4
ANSWER = "422 timestamp: value_is_invalid; " + "properties: why Lago refuses it takes many words; " * 3
COSTS = {"accepted": "1234567.5", "quarantined": "0.0000135", "held": "45.25", "frozen": "7654321.75"}


@pytest.fixture
def environ(proxy_db: Database, lago: Sandbox) -> dict[str, str]:
    """A meter with long names and answers in every list."""
    environ = environment(proxy_db, lago)
    proxy_db.insert(
        *(spend_row(end_user=f"{state} {CUSTOMER}", model=MODEL, spend=float(cost)) for state, cost in COSTS.items()),
        spend_row(end_user=None, model=MODEL, spend=3.5),
    )
    lago.faults({"kind": "status", "status": 401, "count": None})
    run(environ, "--since", "2h")
    lago.clear_faults()
    for state, held_for in (("quarantined", "NULL"), ("held", "'closed period'")):
        proxy_db.fetch(
            f"""WITH parted AS (
                    INSERT INTO reconciler.batch (meter, first_window, last_window, events, input_tokens, output_tokens,
                                                  requests, cost, state, answer, held_for)
                    SELECT meter, window_start, window_start, 1, input_tokens, output_tokens, requests, cost, '{state}',
                           '{ANSWER}', {held_for}
                    FROM reconciler.event WHERE customer LIKE '{state} %'
                    RETURNING id
                )
                UPDATE reconciler.event SET batch = (SELECT id FROM parted) WHERE customer LIKE '{state} %'"""
        )
    proxy_db.fetch("""UPDATE "LiteLLM_SpendLogs" SET spend = spend - 1 WHERE end_user LIKE 'frozen %'""")
    run(environ, "--since", "2h")
    return environ


def on_terminal(environ: dict[str, str], *arguments: str) -> str:
    """What a command shows on a terminal of 80 columns, without colours."""
    terminal, side = pty.openpty()
    shown: list[bytes] = []
    reader = threading.Thread(target=lambda: shown.extend(_read(terminal)))
    reader.start()
    name = Path(os.ttyname(side))
    of_terminal = {"COLUMNS": "80", "TERM": "xterm", "NO_COLOR": "1"}
    reconcile(environ | of_terminal, *arguments, out=name, err=name)
    os.close(side)
    reader.join()
    os.close(terminal)
    return b"".join(shown).decode().replace("\r\n", "\n")


def _read(terminal: int) -> Iterator[bytes]:
    while True:
        try:
            yield os.read(terminal, 65536)
        except OSError:  # nobody has the other side any more
            return


@pytest.mark.proof
def test_each_value_is_whole_in_every_list(environ: dict[str, str]) -> None:
    usd = {"accepted": "1,234,567.50", "quarantined": "0.0000135", "held": "45.25", "frozen": "7,654,321.75"}
    events = json.loads(run(environ, "events", "--json").stdout)["events"]
    assert sorted(event["customer"].split()[0] for event in events) == sorted(COSTS)
    ids = {event["customer"].split()[0]: event["transaction_id"] for event in events}
    every = [*ids.values(), *(f"{state} {CUSTOMER}" for state in COSTS), *usd.values()]
    one = {state: [ids[state], f"{state} {CUSTOMER}", usd[state]] for state in COSTS}
    for command, values in {
        "events": [*every, MODEL],
        "customers": every[len(ids) :],
        "customers --unattributed": [MODEL, "3.50"],
        "quarantine": [*one["quarantined"], ANSWER.strip()],
        "held": [*one["held"], ANSWER.strip()],
        f"events show {ids['held']}": [ids["held"], f"held {CUSTOMER}", MODEL, ANSWER.strip()],
        "frozen": [f"frozen {CUSTOMER}", MODEL, "7654321.75", "7654320.75"],
        "alarm": ["`reconcile frozen accept`", "`reconcile held release --all --move`"],
        "doctor": ["✓ source", "`reconcile alarm list`"],
        "status": ["8,888,934.50", "8,888,889.25", "quarantined, discarded"],
    }.items():
        shown = on_terminal(environ, *command.split())
        assert [value for value in values if value not in shown] == [], (command, shown)
    shown = on_terminal(environ, "explain", f"held {CUSTOMER}")
    assert [value for value in (f"held {CUSTOMER}", MODEL, "45.25", ids["held"][:15]) if value not in shown] == [], (
        shown
    )
