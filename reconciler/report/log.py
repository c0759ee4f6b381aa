"""The log: one line an incident, on standard error, as `key=value` that people and programs read."""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

from reconciler.model.visible import visible


def configure(*, verbose: bool = False) -> None:
    """Write log lines to standard error, which leaves standard output to what was asked for.

    Args:
        verbose: whether lines that need nobody are written, too: a service's are kept, cron mails each.
    """
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO if verbose else logging.WARNING),
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
