"""An alarm is said in full once each time it rings: cron mails it once, `serve` warns once and says when it is over."""

from typing import Any

from structlog.testing import capture_logs

from reconciler.report.summary import Summary
from reconciler.sandbox import Sandbox
from reconciler.service.bells import Bells
from tests.commands import run
from tests.conftest import Database, spend_row
from tests.process import only_object
from tests.support import BATCH, environment, reconcile


def test_a_pass_says_an_alarm_on_standard_error_once_and_again_when_it_has_outgrown_its_acknowledgement(
    proxy_db: Database, lago: Sandbox
) -> None:
    environ = environment(proxy_db, lago)
    proxy_db.insert(spend_row(spend=float("nan")))
    first = run(environ, "--since", "1d")
    [alarm] = only_object(run(environ, "alarm", "list", "--json"))["alarms"]
    assert (first.returncode, first.stderr) == (3, f"  alarm {alarm['id']} (suspect): {alarm['message']}\n")

    later = run(environ)
    assert (later.returncode, later.stderr) == (3, "")
    short = f"  alarm {alarm['id']} (suspect) stands since {alarm['raised_at']}: `reconcile alarm` says it in full\n"
    assert short in later.stdout

    proxy_db.insert(spend_row(spend=float("nan")))
    assert run(environ).stderr == "", "what nobody has looked at is not said again as it grows"
    run(environ, "alarm", "ack", str(alarm["id"]), "--reason", "known")
    acknowledged = run(environ)
    assert (acknowledged.returncode, acknowledged.stderr, "alarm" in acknowledged.stdout) == (0, "", False)
    proxy_db.insert(spend_row(spend=float("nan")))
    assert "(suspect): 3 rows have negative, NaN" in run(environ).stderr
    assert run(environ, "--dry-run").stderr == ""


def test_events_that_go_again_need_nobody_and_are_said_on_demand(proxy_db: Database, lago: Sandbox) -> None:
    environ = environment(proxy_db, lago)
    for options in ([], ["--verbose"]):
        proxy_db.insert(spend_row(end_user=f"customer {options}"))
        lago.faults({"kind": "status", "status": 429, "headers": {"Retry-After": "0"}, "path": BATCH})
        done = run(environ, "--since", "1d", *options)
        assert done.returncode == 0
        assert ("events go again" in done.stderr) == bool(options)
    assert len(lago.events()) == 2


def _alarm(number: int, kind: str, *, reason: str | None = None) -> dict[str, Any]:
    return {"id": number, "kind": kind, "message": f"{kind}!", "acknowledged": reason is not None, "reason": reason}


def test_serve_warns_once_of_each_ringing_and_says_once_that_it_is_over() -> None:
    bells = Bells()

    def heard(*alarms: dict[str, Any], ringing: tuple[int, ...] = ()) -> list[tuple[str, str, str]]:
        with capture_logs() as lines:
            bells.hear(Summary("m", "run", alarms=list(alarms), ringing=list(ringing)))
        return [(line["log_level"], line["event"], line["kind"]) for line in lines]

    assert heard(_alarm(1, "held"), _alarm(2, "late"), ringing=(2,)) == [
        ("warning", "alarm", "held"),
        ("warning", "alarm", "late"),
    ], "also those that rang before a restart"
    assert heard(_alarm(1, "held"), _alarm(2, "late")) == []
    assert heard(_alarm(1, "held"), _alarm(2, "late", reason="known")) == [("info", "alarm acknowledged", "late")]
    assert heard(_alarm(1, "held"), _alarm(2, "late"), ringing=(2,)) == [("warning", "alarm", "late")], "it has grown"
    assert heard(_alarm(2, "late")) == [("info", "alarm is over", "held")]
    assert heard(_alarm(3, "held"), _alarm(2, "late"), ringing=(3, 2)) == [
        ("warning", "alarm", "held"),
        ("warning", "alarm", "late"),
    ], "acknowledged and grown between two passes"
    assert heard() == [("info", "alarm is over", "held"), ("info", "alarm is over", "late")]


def test_a_failing_pass_says_that_passes_have_failed_for_an_hour_once(proxy_db: Database, lago: Sandbox) -> None:
    environ = environment(proxy_db, lago)
    proxy_db.insert(spend_row())
    reconcile(environ, since="1d")
    other = environ | {"LAGO_API_EVENT_CODE": "other"}
    assert "alarm" not in run(other).stderr
    proxy_db.fetch("UPDATE reconciler.run SET started_at = started_at - interval '2 hours'")
    assert "(behind): 2 passes failed since 20" in run(other).stderr
    assert "(behind)" not in run(other).stderr


def test_what_a_pass_warns_of_is_on_standard_error_once_while_it_is_so(proxy_db: Database, lago: Sandbox) -> None:
    """As of a table that never had a row."""
    environ = environment(proxy_db, lago)
    first, second = run(environ), run(environ)
    assert first.stderr.startswith("  warning: The spend table has no rows")
    assert (second.stderr, first.stderr in second.stdout) == ("", True)
