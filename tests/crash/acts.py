"""Passes worth crashing: what was before each, and its command."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from reconciler.model import windows
from tests.conftest import spend_row
from tests.crash.scene import Scene
from tests.support import let_time_pass

HOUR = timedelta(hours=1)
CUSTOMERS = ("acme", "O'Brien & Söhne", "🦊-labs")
MODELS = ("openai/gpt-4o-mini", "anthropic/claude-sonnet-4-5")


def first(scene: Scene) -> tuple[str, ...]:
    """A first `--since`: schema, meter, three chunks, a delivery that Lago slows down."""
    start = _start()
    _traffic(scene, start)
    scene.keep({"kind": "status", "status": 429, "headers": {"X-RateLimit-Reset": "0.05"}, "path": POST})
    return ("--since", _text(start))


def probe(scene: Scene) -> tuple[str, ...]:
    """A later pass: a new row, a late one for the probe, and a reply that is lost after Lago stored the batch."""
    start = _billed(scene)
    scene.source.insert(spend_row(), spend_row(startTime=start + HOUR, spend=2.5e-07))
    let_time_pass(scene.ledger, "2 hours")
    scene.keep({"kind": "commit_then_drop", "path": POST})
    return ()


def backfill(scene: Scene) -> tuple[str, ...]:
    """A backfill before the meter's start on a day when a deep look is due, with half of an answer from Lago.

    The deep look has rows to find whose spend changed, and a late one.
    """
    start = _billed(scene)
    _traffic(scene, start - 5 * HOUR)
    scene.source.insert(spend_row(startTime=start + HOUR, spend=1e-05, end_user="globex"))
    scene.source.fetch(
        """
        UPDATE "LiteLLM_SpendLogs" SET spend = spend + 0.000001, completion_tokens = completion_tokens + 1
        WHERE "startTime" = %s
        """,
        (start + 2 * HOUR).replace(tzinfo=None),
    )
    let_time_pass(scene.ledger, "2 days")
    scene.keep({"kind": "truncate", "path": POST})
    return ("--since", _text(start - 6 * HOUR), "--until", _text(start))


Prepare = Callable[[Scene], tuple[str, ...]]

ACTS: dict[str, Prepare] = {act.__name__: act for act in (first, probe, backfill)}

POST = "/api/v1/events/batch"


def _billed(scene: Scene) -> datetime:
    start = _start()
    _traffic(scene, start)
    scene.finish("--since", _text(start))
    return start


def _traffic(scene: Scene, start: datetime) -> None:
    """Five hours of a few rows each, at whole hours: three customers, two models."""
    scene.source.insert(
        *(
            spend_row(
                startTime=start + hour * HOUR,
                end_user=CUSTOMERS[(hour + number) % 3],
                model=MODELS[number % 2],
                spend=(number + 1) * 1.1e-06,
                prompt_tokens=hour,
            )
            for hour in range(5)
            for number in range(3)
        )
    )


def _start() -> datetime:
    return windows.floor(datetime.now(UTC) - 6 * HOUR, timedelta(minutes=15))


def _text(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
