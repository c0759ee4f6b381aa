"""The log: hostile text in a line stays in that line, and nothing of it acts on a terminal."""

import pytest
import structlog

from reconciler.model.visible import visible
from reconciler.report.log import configure
from tests.cli.test_hostile_texts import HOSTILE


def test_a_hostile_reason_is_one_line_that_is_seen(capsys: pytest.CaptureFixture[str]) -> None:
    configure()
    try:
        structlog.get_logger("reconciler").warning("events go again", reason="".join(HOSTILE), events=3)
    finally:
        structlog.reset_defaults()
    [line] = capsys.readouterr().err.removesuffix("\n").split("\n")
    assert visible(line) == line
    assert "events=3" in line
