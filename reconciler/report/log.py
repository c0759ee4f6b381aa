"""The log: one line an incident, on standard error, as `key=value` that people and programs read."""

import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

from reconciler.model.visible import visible


def configure() -> None:
    """Write log lines to standard error, which leaves standard output to what was asked for."""
    structlog.configure(
        processors=[
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.add_log_level,
            _make_visible,
            structlog.processors.LogfmtRenderer(
                key_order=["timestamp", "level", "event", "meter"], drop_missing=True, bool_as_flag=False
            ),
        ],
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
    )


def _make_visible(_logger: object, _level: str, said: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """What a terminal would act on is shown as an escape. Line breaks are left: the renderer escapes them."""
    return {
        key: "\n".join(map(visible, value.split("\n"))) if isinstance(value, str) else value
        for key, value in said.items()
    }
